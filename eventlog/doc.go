// Package eventlog keeps a volume's events: it appends this device's, frames them, takes other
// devices' frames, puts everything into one order, and keeps the state that a Reducer makes of it.
// It knows nothing of files.
package eventlog
