// Package leakcheck searches what a program gave out (its output, logs, errors, files, core dumps) for secrets that must
// not be there, in every form in which a program is likely to have written them. Only tests import it.
package leakcheck
