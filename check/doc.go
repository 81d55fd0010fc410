// Package check judges the history of a run against a message broker: what clients sent, received and acknowledged, and which faults
// were injected meanwhile. It knows the promises a broker of this kind makes, and nothing about any broker: it uses the standard
// library only, shares no code with what it judges, and reads nothing but the history.
//
// A history is a file of JSON lines, one [Event] each, written by the clients themselves. Clients obey five rules, without which a verdict
// would mean nothing:
//
//  1. All times come from one clock that does not jump.
//  2. The invoke event of a call is written before the call leaves, the event of its outcome after the answer has arrived.
//  3. A payload id is used for one attempt to publish and never again; the data carries it, so that a receiver can tell.
//  4. A call without a definite answer has the phase unknown: the broker may have done it or not.
//  5. The run ends with a drain: faults are healed, and subscribers read and acknowledge until nothing has come for a while.
//
// [Judge] applies every rule in [Rules]. A rule says what must not be in a history, so a run is only as telling as what it contains:
// the rule "faults" therefore declares a run void in which no fault ever hit anything.
package check
