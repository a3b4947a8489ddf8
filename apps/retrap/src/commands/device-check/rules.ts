/** All that `retrap device-check` looks at, apart from broken frames. A test finds each sentence in the document. */
export const RULES = {
  // The opening.
  program: {
    title: 'its program is started, and stays',
    sentence: 'The end of the stream, or `bye`, ends the session, and the program that was started for it',
  },
  opens: {
    title: 'it can be reached, and takes a connection',
    sentence:
      'One that listens takes connections of `--device unix:PATH` or `--device tcp:HOST:PORT`; it may serve one machine or several.',
  },
  welcome: {
    title: 'its first frame is welcome, of version 5',
    sentence: 'A server of another version answers with a `welcome` of its own version, or with `bye`.',
  },
  newSession: {
    title: 'welcome says that the session is new',
    sentence:
      'A server that was started anew does not know the session, and says so with a `session` of 0 in `welcome`: the machine then fails the device, whose state is lost.',
  },
  ready: {
    title: 'it tells its devices, and is ready',
    sentence: 'The server tells its devices, and what each consists of, and then `ready`.',
  },
  before: {
    title: 'before ready it only tells what there is',
    sentence: 'Before `ready` a server sends nothing else but `log`.',
  },
  declared: { title: 'what its frames name is declared before', sentence: 'An object is declared before it is named.' },
  numbers: {
    title: 'numbers are unique among their kind',
    sentence: 'They are unique among their kind, for all devices of the server; small ones are easy to look up.',
  },
  pci: {
    title: 'the machine can make its PCI functions',
    sentence: '**PCI functions** need the identity, and their BARs.',
  },
  // Rules that hold at all times.
  length: {
    title: 'its frames have a length that frames can have',
    sentence: 'A receiver closes the connection after a frame that does not keep to this.',
  },
  layout: {
    title: 'its frames are of a kind that there is, and have all its fields',
    sentence: 'Its fields follow, in the order of the tables below.',
  },
  padding: {
    title: 'text and bytes are filled up with zeros',
    sentence:
      'Only `text` (UTF-8) and `bytes` are longer: a u64 with their length, then as many bytes, then zeros up to a multiple of 8.',
  },
  kinds: {
    title: 'it sends frames of a server only',
    sentence:
      'Then the machine makes calls, and the server answers each **once**: `read` and `write` by `answer`, all others by `done`.',
  },
  limits: {
    title: 'fields hold what they can',
    sentence: 'What a field holds is at most 2^53 − 1, apart from those that the tables call *64 bits*.',
  },
  later: {
    title: 'nothing is declared after ready',
    sentence:
      'Nothing can be added later; a device with flag 1 is *offered*, and comes and goes by `plug` and `unplug`.',
  },
  once: {
    title: 'no call is answered twice, and nothing that was not called',
    sentence:
      'Then the machine makes calls, and the server answers each **once**: `read` and `write` by `answer`, all others by `done`.',
  },
  right: {
    title: 'read and write are answered by answer, all others by done',
    sentence:
      'Then the machine makes calls, and the server answers each **once**: `read` and `write` by `answer`, all others by `done`.',
  },
  inTime: {
    title: 'each call is answered within the time of --timeout',
    sentence:
      'Then the machine makes calls, and the server answers each **once**: `read` and `write` by `answer`, all others by `done`.',
  },
  errors: { title: 'no call ends with an error', sentence: '`done`: `error`: empty: none' },
  result: { title: 'only save has a result', sentence: '`done`: `result`: the state, for `save`; else empty' },
  past: {
    title: 'deadlines of the past come to an end',
    sentence:
      'A deadline of the past comes at once; one that is not later than the timer’s last call comes a microsecond after that, so that the guest’s time goes on.',
  },
  counts: {
    title: 'headers count the frames that it has received',
    sentence: 'Each header has the count of received frames, modulo 2^16.',
  },
  faults: {
    title: 'no device fails',
    sentence: '`fault` says that a device cannot go on: its open calls fail, and what it answers to them is dropped.',
  },
  stays: {
    title: 'it keeps the connection',
    sentence:
      'The end of the stream, or `bye`, ends the session, and the program that was started for it: it has half a second to end by itself, then SIGTERM comes, and after another half second SIGKILL, for all of its process group.',
  },
  // Accesses.
  reads: {
    title: 'reads at the edges and in the first registers of each region are answered',
    sentence:
      'An access has 1, 2, 4 or, where `maximum` is 8, 8 bytes, and lies within the region; it need not be aligned.',
  },
  writes: {
    title: 'writes there are answered',
    sentence: 'The guest writes. Answered by `answer`, for which the guest waits.',
  },
  buffered: {
    title: 'buffered writes have no answer',
    sentence:
      "Where a region's writes are buffered, the guest does not wait for them: they have call 0, and no answer.",
  },
  stream: {
    title: 'frames may come in pieces, and several at once',
    sentence:
      'The machine and the program, its **device server**, are connected by a stream of bytes: a Unix socket, TCP, or a pair of pipes.',
  },
  several: {
    title: 'calls of several processors may be open at a time',
    sentence: 'Several calls may be open at a time, at most one `read` or `write` for each processor.',
  },
  cancel: {
    title: 'a call that is cancelled is answered all the same',
    sentence: 'The call is answered all the same, and the answer is dropped.',
  },
  lateCancel: {
    title: 'cancel of a call that has been answered does no harm',
    sentence:
      'A server that has nothing to break off may ignore it, and all ignore one that comes after the answer, as it may cross it on its way.',
  },
  // Time.
  timers: { title: "a timer's call is answered", sentence: '`armTimer` sets a deadline on it.' },
  lateTimers: {
    title: "a timer's call may come later than its deadline",
    sentence: '`timer`: `now`: the guest’s clock; it may be later than the deadline',
  },
  // State.
  quiesce: {
    title: 'quiesce, save and resume are answered',
    sentence: 'A snapshot asks each device for `quiesce`, `save`, and then `resume`.',
  },
  quiet: {
    title: 'a device that is quiet begins nothing',
    sentence: 'The device ends its work or brings it to a state that `save` can hold, and begins none.',
  },
  saves: {
    title: 'two saves with nothing between them are the same',
    sentence:
      'A `save` behind a reset gives the bytes that it gave at power-on, and two with nothing between them are the same.',
  },
  reset: {
    title: 'reset brings back the state at power-on',
    sentence:
      'A `save` behind a reset gives the bytes that it gave at power-on, and two with nothing between them are the same.',
  },
  restore: {
    title: 'a state that it takes again is the state that it saves',
    sentence: 'A restored machine calls `restore`, then `resume`.',
  },
  timersAgain: {
    title: 'a state that it takes again has its timers armed',
    sentence: 'The machine has stopped the timers before `restore`, and the server arms them again.',
  },
  elsewhere: {
    title: 'another program, or session, goes on with a saved state',
    sentence: 'Gives the device a state that `save` has returned, perhaps to another program.',
  },
  // Hot plug.
  plug: {
    title: 'a device that is offered is plugged in, answers, and goes',
    sentence: 'A device that was offered is in its slot, in its state at power-on.',
  },
  plugAgain: {
    title: 'and comes again',
    sentence:
      'Nothing can be added later; a device with flag 1 is *offered*, and comes and goes by `plug` and `unplug`.',
  },
  // Memory.
  transfers: {
    title: 'transfers stay within what there is',
    sentence: '**Memory of a device** (a frame buffer, a ROM) lives in the machine.',
  },
  refused: {
    title: 'it goes on where the machine refuses its transfers',
    sentence:
      'A device with PCI functions reaches it while the guest lets one of them be a bus master, and only within what whoever runs the machine allows; `dmaDone` says 0 otherwise.',
  },
  // The end.
  ack: {
    title: 'it acknowledges 64 frames that it had nothing to say to',
    sentence:
      'An end sends `ack` when it has received 64 frames, or frames of 64 KiB together, since it last sent a frame, whose header says the count.',
  },
  bye: {
    title: 'it ends the session at bye',
    sentence:
      'The end of the stream, or `bye`, ends the session, and the program that was started for it: it has half a second to end by itself, then SIGTERM comes, and after another half second SIGKILL, for all of its process group.',
  },
  // Another connection.
  goesOn: {
    title: 'it goes on with a session that it knows',
    sentence: "`welcome` has that session and the server's count.",
  },
  lostAnswers: {
    title: 'answers that were lost come again, once',
    sentence:
      'Then both send again what the other end lacks, with the count of now in each header; in `hello` and `welcome` the field counts, not the header.',
  },
  lostCalls: {
    title: 'calls that were lost are done once',
    sentence:
      'A server that says so in `welcome` (flag 0) may be connected to again after a connection broke, with nothing lost or done twice.',
  },
  // Broken frames.
  version: {
    title: 'a machine of another version is told so',
    sentence: 'A server of another version answers with a `welcome` of its own version, or with `bye`.',
  },
  survives: {
    title: 'it takes connections after broken frames',
    sentence:
      'One that listens takes connections of `--device unix:PATH` or `--device tcp:HOST:PORT`; it may serve one machine or several.',
  },
} as const
