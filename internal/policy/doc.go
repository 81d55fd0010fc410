// Package policy holds rules about the source itself, as tests: who may import whom, how long a function, a file and a package may be,
// what has to be documented, and which words and habits have no place here. It has no code of its own.
//
// The rules read the files of the working tree without building them. They also see code that is behind build tags, but no file that
// git ignores.
package policy
