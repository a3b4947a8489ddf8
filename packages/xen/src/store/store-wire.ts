import { latin1 } from '@retrap/basics'
import { StoreRefusal, type StoreClient, type StoreErrno } from './store-client.ts'
import { formatPermission, parsePermission, type StorePermission } from './store-tree.ts'

/*
 * The protocol between a guest and the store (public/io/xs_wire.h, docs/misc/xenstore.txt): messages of a header of four
 * words (type, request, transaction, length) and a payload, mostly texts that end in NUL.
 */

export const STORE_HEADER_BYTES = 16
/** Longest payload. */
export const STORE_PAYLOAD_MAX = 4096

const XS_WATCH_EVENT = 15
const XS_ERROR = 16

/** A message's header. */
export interface StoreHeader {
  readonly type: number
  readonly request: number
  readonly transaction: number
  readonly length: number
}

interface Call {
  readonly client: StoreClient
  readonly transaction: number
  readonly payload: Uint8Array
}

type Command = (call: Call) => Uint8Array

export function readStoreHeader(bytes: Uint8Array): StoreHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, STORE_HEADER_BYTES)
  return {
    type: view.getUint32(0, true),
    request: view.getUint32(4, true),
    transaction: view.getUint32(8, true),
    length: view.getUint32(12, true),
  }
}

function message(type: number, request: number, transaction: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(STORE_HEADER_BYTES + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, type, true)
  view.setUint32(4, request, true)
  view.setUint32(8, transaction, true)
  view.setUint32(12, payload.length, true)
  bytes.set(payload, STORE_HEADER_BYTES)
  return bytes
}

/** Encodes texts with terminating NULs. */
function strings(...texts: readonly string[]): Uint8Array {
  const text = texts.map((each) => `${each}\0`).join('')
  return Uint8Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))
}

/** @throws StoreRefusal `EINVAL` unless the payload is `least` or more texts that all end in NUL */
function textsOf(payload: Uint8Array, least: number): string[] {
  // Names are ASCII. Tokens are the guest's own bytes, which it gets back as they were: a character is a byte.
  const texts = latin1(payload).split('\0')
  if (texts.pop() !== '' || texts.length < least) throw new StoreRefusal('EINVAL')
  return texts
}

function textOf({ payload }: Call): string {
  const [text = '', ...more] = textsOf(payload, 1)
  if (more.length > 0) throw new StoreRefusal('EINVAL')
  return text
}

const pathOf = (call: Call): string => call.client.resolve(textOf(call))

function domainOf(call: Call): number {
  const text = textOf(call)
  if (!/^\d{1,5}$/.test(text)) throw new StoreRefusal('EINVAL')
  return Number(text)
}

const OK = strings('OK')

const done =
  (act: (call: Call) => void): Command =>
  (call) => {
    act(call)
    return OK
  }

const refused =
  (errno: StoreErrno): Command =>
  () => {
    throw new StoreRefusal(errno)
  }

/** Requests that guests may not make. */
const privileged = refused('EACCES')

function namesOf(names: readonly string[]): Uint8Array {
  const list = strings(...names)
  if (list.length > STORE_PAYLOAD_MAX) throw new StoreRefusal('E2BIG')
  return list
}

/** A part of a long list: the node's generation, then names from a byte offset on; an empty name ends the list. */
function directoryPart(call: Call): Uint8Array {
  const [given = '', offsetText = ''] = textsOf(call.payload, 2)
  if (!/^\d{1,9}$/.test(offsetText)) throw new StoreRefusal('EINVAL')
  const { names, generation } = call.client.directory(call.transaction, call.client.resolve(given))
  const head = strings(String(generation))
  let at = 0
  const part: string[] = []
  let length = head.length
  let complete = true
  for (const name of names) {
    const bytes = name.length + 1
    if (at >= Number(offsetText)) {
      // One byte is kept for the end's empty name.
      if (length + bytes + 1 > STORE_PAYLOAD_MAX) {
        complete = false
        break
      }
      part.push(name)
      length += bytes
    }
    at += bytes
  }
  return strings(String(generation), ...part, ...(complete ? [''] : []))
}

/** The path ends at the first NUL; all after it is the value. */
function write({ client, transaction, payload }: Call): void {
  const end = payload.indexOf(0)
  if (end < 0) throw new StoreRefusal('EINVAL')
  client.write(transaction, client.resolve(latin1(payload.subarray(0, end))), payload.subarray(end + 1))
}

function setPermissions({ client, transaction, payload }: Call): void {
  const [path = '', ...entries] = textsOf(payload, 2)
  const permissions = entries.map(parsePermission)
  if (!permissions.every((each): each is StorePermission => each !== undefined)) throw new StoreRefusal('EINVAL')
  client.setPermissions(transaction, client.resolve(path), permissions)
}

function endTransaction(call: Call): void {
  const text = textOf(call)
  if (text !== 'T' && text !== 'F') throw new StoreRefusal('EINVAL')
  call.client.end(call.transaction, text === 'T')
}

function watchArguments({ payload }: Call): readonly [path: string, token: string] {
  const [path = '', token = ''] = textsOf(payload, 2)
  return [path, token]
}

/** By message type (enum xsd_sockmsg_type). */
const COMMANDS: Readonly<Record<number, Command>> = {
  0: privileged, // XS_CONTROL
  1: (call) => namesOf(call.client.directory(call.transaction, pathOf(call)).names), // XS_DIRECTORY
  2: (call) => call.client.read(call.transaction, pathOf(call)), // XS_READ
  3: (call) => namesOf(call.client.permissions(call.transaction, pathOf(call)).map(formatPermission)), // XS_GET_PERMS
  4: done((call) => call.client.watch(...watchArguments(call))), // XS_WATCH
  5: done((call) => call.client.unwatch(...watchArguments(call))), // XS_UNWATCH
  // Nested transactions do not exist.
  6: (call) => (call.transaction === 0 ? strings(String(call.client.begin())) : refused('EBUSY')(call)),
  7: done(endTransaction), // XS_TRANSACTION_END
  8: privileged, // XS_INTRODUCE
  9: privileged, // XS_RELEASE
  10: (call) => strings(`/local/domain/${domainOf(call)}`), // XS_GET_DOMAIN_PATH
  11: done(write), // XS_WRITE
  12: done((call) => call.client.makeDirectory(call.transaction, pathOf(call))), // XS_MKDIR
  13: done((call) => call.client.remove(call.transaction, pathOf(call))), // XS_RM
  14: done(setPermissions), // XS_SET_PERMS
  17: (call) => strings([0, call.client.domain].includes(domainOf(call)) ? 'T' : 'F'), // XS_IS_DOMAIN_INTRODUCED
  18: privileged, // XS_RESUME
  19: privileged, // XS_SET_TARGET
  21: done((call) => call.client.reset()), // XS_RESET_WATCHES
  22: directoryPart, // XS_DIRECTORY_PART
}

/**
 * Executes a client's message.
 *
 * @param payload - of the header's length
 * @returns the answer, header and all: errors are answers too
 */
export function answerStoreMessage(client: StoreClient, header: StoreHeader, payload: Uint8Array): Uint8Array {
  const { type, request, transaction } = header
  try {
    const command = Object.hasOwn(COMMANDS, type) ? COMMANDS[type] : undefined
    if (command === undefined) throw new StoreRefusal('ENOSYS')
    const answer = command({ client, transaction, payload })
    // The host's values may be longer than a message.
    if (answer.length > STORE_PAYLOAD_MAX) throw new StoreRefusal('E2BIG')
    return message(type, request, transaction, answer)
  } catch (error) {
    if (!(error instanceof StoreRefusal)) throw error
    return message(XS_ERROR, request, transaction, strings(error.errno))
  }
}

/** The message that tells of a watch; null for one that would be longer than messages are: guests take it for a broken ring. */
export function storeWatchEvent(path: string, token: string): Uint8Array | null {
  const payload = strings(path, token)
  return payload.length > STORE_PAYLOAD_MAX ? null : message(XS_WATCH_EVENT, 0, 0, payload)
}
