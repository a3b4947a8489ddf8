/*
 * The messages between controllers in another thread and the media and networks of the machine's thread: a head and bytes.
 */

/** Kinds of message. */
export const MESSAGE = {
  // To the machine: requests of a medium, each with a number.
  read: 1,
  write: 2,
  flush: 3,
  discard: 4,
  zeroes: 5,
  /** The request of this number is given up. */
  cancel: 6,
  /** The guest's changes to a tray, in the flags. */
  tray: 7,
  /** A frame of a card. */
  send: 8,
  /** A card has taken this many frames. */
  taken: 9,
  /** The frames that a card wants, as JSON. */
  filter: 10,
  // To the controllers.
  /** The end of a request: an error in the flags, or the data read. */
  answer: 16,
  /** Properties of a medium, as JSON: they have changed. */
  changed: 17,
  /** The user wants a medium that the guest has locked. */
  ejectRequested: 18,
  /** A frame of a network. */
  receive: 19,
  /** A network has taken this many frames. */
  sent: 20,
  /** Whether a cable is plugged in, in the flags. */
  link: 21,
} as const

export interface Message {
  readonly kind: number
  readonly flags: number
  /** Number of the medium or network. */
  readonly which: number
  /** The number of a request. */
  readonly id: number
  readonly offset: number
  readonly length: number
  readonly bytes: Uint8Array
}

const HEAD = 24
/** Stands for an infinite number in JSON. */
const INFINITE = 'Infinity'
const NOTHING = new Uint8Array(0)

/** Writes a message. */
export function encodeMessage(
  kind: number,
  { flags = 0, which = 0, id = 0, offset = 0, length = 0, bytes = NOTHING }: Partial<Message>,
): Uint8Array {
  const out = new Uint8Array(HEAD + bytes.length)
  const view = new DataView(out.buffer)
  view.setUint8(0, kind)
  view.setUint8(1, flags)
  view.setUint16(2, which)
  view.setUint32(4, id)
  view.setFloat64(8, offset)
  view.setFloat64(16, length)
  out.set(bytes, HEAD)
  return out
}

/** Reads a message. */
export function decodeMessage(from: Uint8Array): Message {
  const view = new DataView(from.buffer, from.byteOffset, from.byteLength)
  return {
    kind: view.getUint8(0),
    flags: view.getUint8(1),
    which: view.getUint16(2),
    id: view.getUint32(4),
    offset: view.getFloat64(8),
    length: view.getFloat64(16),
    bytes: from.subarray(HEAD),
  }
}

/** A value as a message's bytes. JSON would make null of an infinite number. */
export const toJson = (value: unknown): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(value, (_key, one) => (one === Infinity ? INFINITE : one)))

/** A message's bytes as a value. */
export const fromJson = (bytes: Uint8Array): unknown =>
  JSON.parse(new TextDecoder().decode(bytes.slice()), (_key, one) => (one === INFINITE ? Infinity : one))

/** Sends a message to the other end. */
export type Post = (kind: number, message: Omit<Partial<Message>, 'kind' | 'which'>) => void

/** A received message with the fields of its kind. */
export type Said = Partial<Message> & Pick<Message, 'kind'>

/** Kinds of message that are about networks. */
export const OF_NETWORK: ReadonlySet<number> = new Set([
  ...[MESSAGE.send, MESSAGE.taken, MESSAGE.filter],
  ...[MESSAGE.receive, MESSAGE.sent, MESSAGE.link],
])
