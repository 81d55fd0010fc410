// Package chaos holds tests only: they hurt the real broker while clients work, and let package check judge what the clients saw.
//
// By default a short form of each test runs. The flags give the long forms, for instance
//
//	go test ./chaos -run TestKillUnderLoad -timeout 40m -cycles 500 -history history.jsonl
//
// and go run ./check/cmd judges a history that was kept once more. A run prints its seed; -seed repeats the clients' and the fault
// injector's choices, though not the machine's timing.
package chaos
