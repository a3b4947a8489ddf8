import type { Rule } from './report.ts'

/** Titles, and sentences of the document, or the name of the rule with the same sentence. */
const TABLE = {
  // The opening.
  program: [
    'its program is started, and stays',
    'The end of the stream, or `bye`, ends the session, and the program that was started for it',
  ],
  opens: [
    'it can be reached, and takes a connection',
    'One that listens takes connections of `--device unix:PATH` or `--device tcp:HOST:PORT`; it may serve one machine or several.',
  ],
  welcome: [
    'its first frame is welcome, of version 5',
    'A server of another version answers with a `welcome` of its own version, or with `bye`.',
  ],
  newSession: [
    'welcome says that the session is new',
    'A server that was started anew does not know the session, and says so with a `session` of 0 in `welcome`: the machine then fails the device, whose state is lost.',
  ],
  ready: [
    'it tells its devices, and is ready',
    'The server tells its devices, and what each consists of, and then `ready`.',
  ],
  before: ['before ready it only tells what there is', 'Before `ready` a server sends nothing else but `log`.'],
  declared: ['what its frames name is declared before', 'An object is declared before it is named.'],
  numbers: [
    'numbers are unique among their kind',
    'They are unique among their kind, for all devices of the server; small ones are easy to look up.',
  ],
  pci: ['the machine can make its PCI functions', '**PCI functions** need the identity, and their BARs.'],
  // Rules that hold at all times.
  length: [
    'its frames have a length that frames can have',
    'A receiver closes the connection after a frame that does not keep to this.',
  ],
  layout: [
    'its frames are of a kind that there is, and have all its fields',
    'Its fields follow, in the order of the tables below.',
  ],
  padding: [
    'text and bytes are filled up with zeros',
    'Only `text` (UTF-8) and `bytes` are longer: a u64 with their length, then as many bytes, then zeros up to a multiple of 8.',
  ],
  kinds: [
    'it sends frames of a server only',
    'Then the machine makes calls, and the server answers each **once**: `read` and `write` by `answer`, all others by `done`.',
  ],
  limits: [
    'fields hold what they can',
    'What a field holds is at most 2^53 − 1, apart from those that the tables call *64 bits*.',
  ],
  later: [
    'nothing is declared after ready',
    'Nothing can be added later; a device with flag 1 is *offered*, and comes and goes by `plug` and `unplug`.',
  ],
  once: ['no call is answered twice, and nothing that was not called', 'kinds'],
  right: ['read and write are answered by answer, all others by done', 'kinds'],
  inTime: ['each call is answered within the time of --timeout', 'kinds'],
  errors: ['no call ends with an error', '`done`: `error`: empty: none'],
  result: ['only save has a result', '`done`: `result`: the state, for `save`; else empty'],
  past: [
    'deadlines of the past come to an end',
    'A deadline of the past comes at once; one that is not later than the timer’s last call comes a microsecond after that, so that the guest’s time goes on.',
  ],
  counts: [
    'headers count the frames that it has received',
    'Each header has the count of received frames, modulo 2^16.',
  ],
  faults: [
    'no device fails',
    '`fault` says that a device cannot go on: its open calls fail, and what it answers to them is dropped.',
  ],
  stays: [
    'it keeps the connection',
    'The end of the stream, or `bye`, ends the session, and the program that was started for it: it has half a second to end by itself, then SIGTERM comes, and after another half second SIGKILL, for all of its process group.',
  ],
  // Accesses.
  reads: [
    'reads at the edges and in the first registers of each region are answered',
    'An access has 1, 2, 4 or, where `maximum` is 8, 8 bytes, and lies within the region; it need not be aligned.',
  ],
  writes: ['writes there are answered', 'The guest writes. Answered by `answer`, for which the guest waits.'],
  buffered: [
    'buffered writes have no answer',
    "Where a region's writes are buffered, the guest does not wait for them: they have call 0, and no answer.",
  ],
  stream: [
    'frames may come in pieces, and several at once',
    'The machine and the program, its **device server**, are connected by a stream of bytes: a Unix socket, TCP, or a pair of pipes.',
  ],
  several: [
    'calls of several processors may be open at a time',
    'Several calls may be open at a time, at most one `read` or `write` for each processor.',
  ],
  cancel: [
    'a call that is cancelled is answered all the same',
    'The call is answered all the same, and the answer is dropped.',
  ],
  lateCancel: [
    'cancel of a call that has been answered does no harm',
    'A server that has nothing to break off may ignore it, and all ignore one that comes after the answer, as it may cross it on its way.',
  ],
  // Time.
  timers: ["a timer's call is answered", '`armTimer` sets a deadline on it.'],
  lateTimers: [
    "a timer's call may come later than its deadline",
    '`timer`: `now`: the guest’s clock; it may be later than the deadline',
  ],
  // State.
  quiesce: [
    'quiesce, save and resume are answered',
    'A snapshot asks each device for `quiesce`, `save`, and then `resume`.',
  ],
  quiet: [
    'a device that is quiet begins nothing',
    'The device ends its work or brings it to a state that `save` can hold, and begins none.',
  ],
  saves: [
    'two saves with nothing between them are the same',
    'A `save` behind a reset gives the bytes that it gave at power-on, and two with nothing between them are the same.',
  ],
  reset: ['reset brings back the state at power-on', 'saves'],
  restore: [
    'a state that it takes again is the state that it saves',
    'A restored machine calls `restore`, then `resume`.',
  ],
  timersAgain: [
    'a state that it takes again has its timers armed',
    'The machine has stopped the timers before `restore`, and the server arms them again.',
  ],
  elsewhere: [
    'another program, or session, goes on with a saved state',
    'Gives the device a state that `save` has returned, perhaps to another program.',
  ],
  // Hot plug.
  plug: [
    'a device that is offered is plugged in, answers, and goes',
    'A device that was offered is in its slot, in its state at power-on.',
  ],
  plugAgain: ['and comes again', 'later'],
  // Memory.
  transfers: [
    'transfers stay within what there is',
    '**Memory of a device** (a frame buffer, a ROM) lives in the machine.',
  ],
  refused: [
    'it goes on where the machine refuses its transfers',
    'A device with PCI functions reaches it while the guest lets one of them be a bus master, and only within what whoever runs the machine allows; `dmaDone` says 0 otherwise.',
  ],
  // The end.
  ack: [
    'it acknowledges 64 frames that it had nothing to say to',
    'An end sends `ack` when it has received 64 frames, or frames of 64 KiB together, since it last sent a frame, whose header says the count.',
  ],
  bye: ['it ends the session at bye', 'stays'],
  // Another connection.
  goesOn: ['it goes on with a session that it knows', "`welcome` has that session and the server's count."],
  lostAnswers: [
    'answers that were lost come again, once',
    'Then both send again what the other end lacks, with the count of now in each header; in `hello` and `welcome` the field counts, not the header.',
  ],
  lostCalls: [
    'calls that were lost are done once',
    'A server that says so in `welcome` (flag 0) may be connected to again after a connection broke, with nothing lost or done twice.',
  ],
  // Broken frames.
  version: ['a machine of another version is told so', 'welcome'],
  survives: ['it takes connections after broken frames', 'opens'],
} as const

/** All that `retrap device-check` looks at, apart from broken frames. A test finds each sentence in the document. */
export const RULES: Readonly<Record<keyof typeof TABLE, Rule>> = Object.fromEntries(
  Object.entries(TABLE).map(([name, [title, said]]) => {
    const [, sentence = said] = Object.entries(TABLE).find(([other]) => other === said)?.[1] ?? []
    return [name, { title, sentence }]
  }),
) as Record<keyof typeof TABLE, Rule>
