package tree

import "github.com/rhizome-fs/rhizome/eventlog"

// Coalesce implements eventlog.Reducer.
func (*Reducer) Coalesce(es []eventlog.Event) []eventlog.Event { return es }
