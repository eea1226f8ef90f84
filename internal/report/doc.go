// Package report is how those who check a store tell what they found: each package checks its own records, and
// all of them fill one Report.
//
// A finding is one thing that is not as it was written, or as it must be: of which kind, where, what is wrong, what could mend it,
// and what was done about it. A note is what a person may want to know and that is no damage, such as what a crash
// leaves behind.
package report
