package process

import "syscall"

// dieWithParent makes the kernel end the child when a test binary is killed, whose clean-up then does not run.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
