// Package ipfs shows an ipld.Store to IPFS's libraries, and their stores to us. It is apart from package
// ipld so that who only keeps blocks does not carry boxo.
package ipfs
