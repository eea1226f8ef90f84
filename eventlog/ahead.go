package eventlog

// aheadAtOnce is how many keys are read under the lock before those who wait for it get it.
const aheadAtOnce = 64

// Ahead reads keys of the state that a change is about to read, or a view, so that those find them in memory. Many keys at once cost a fraction of
// what they cost one by one, since each search goes on from where the last one ended; and it can be done beside a change. It is of use
// for some thousands of keys, and not for large values (see cacheBytes, cacheValue).
func (l *Log) Ahead(keys [][]byte) error {
	keys = sortedUnique(l.cache.unknown(keys))
	for len(keys) > 0 {
		n := min(len(keys), aheadAtOnce)
		if err := l.ahead(keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

func (l *Log) ahead(keys [][]byte) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	r := l.readers.Get().(*dbState)
	defer l.readers.Put(r)
	return r.getAll(keys, func(i int, val []byte, ok bool) { l.cache.put(keys[i], val, ok) })
}
