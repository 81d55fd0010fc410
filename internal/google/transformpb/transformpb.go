// Package transformpb holds the messages of the methods that try message transforms, generated from transform.proto. Google's generated code
// does not have them.
package transformpb

//go:generate sh generate.sh
