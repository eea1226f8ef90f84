// Package daemon puts Rhizome together: it opens the layers in order (store, blocks, identities, logs,
// sequencers, the live file system, the mount, the control socket), runs them, and closes them in reverse.
// It is the only place that knows all of them. It also answers what the command line asks, of a
// running daemon through package control, and of a store without one.
package daemon
