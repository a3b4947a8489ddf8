/** QMP: commands and events as JSON. Source: QEMU, docs/interop/qmp-spec.rst, "QEMU Machine Protocol Specification". */
import { describeThrown } from '@retrap/machine'
import { explainError } from '../../errors.ts'
import { QMP_COMMANDS, QMP_VERSION, type QmpArguments, QmpError, type QmpSite } from './qmp-commands.ts'

/** Cuts a stream of bytes into JSON objects, which QMP sends without separators. */

/** The longest object, in bytes, and the deepest: a peer must not take more memory or stack. */
const MOST_BYTES = 1 << 20
const MOST_DEPTH = 64

const [OPEN, CLOSE, OPEN_LIST, CLOSE_LIST, QUOTE, ESCAPE] = [...'{}[]"\\'].map((one) => one.charCodeAt(0))

/** Takes bytes, and returns complete values. */
export class JsonStream {
  #bytes: number[] = []
  #depth = 0
  #inText = false
  #escaped = false

  /**
   * Takes bytes of the peer.
   *
   * @returns the complete values; an Error for invalid JSON
   * @throws RangeError for an object that is too long or too deep: the connection is to end
   */
  push(bytes: Uint8Array): readonly unknown[] {
    const whole: unknown[] = []
    for (const byte of bytes) {
      // Blanks between objects, and the 0xFF by which a client has an older parser begin anew.
      if (this.#bytes.length === 0 && (byte <= 0x20 || byte === 0xff)) continue
      if (this.#bytes.push(byte) > MOST_BYTES) throw new RangeError(`a command has more than ${MOST_BYTES} bytes`)
      this.#look(byte)
      if (this.#depth > 0 || this.#inText) continue
      const isLine = byte === 0x0a
      if (byte === CLOSE || byte === CLOSE_LIST || isLine) whole.push(this.#parse())
    }
    return whole
  }

  #look(byte: number): void {
    if (this.#inText) {
      if (this.#escaped) this.#escaped = false
      else if (byte === ESCAPE) this.#escaped = true
      else if (byte === QUOTE) this.#inText = false
    } else if (byte === QUOTE) this.#inText = true
    else if (byte === OPEN || byte === OPEN_LIST) {
      if (++this.#depth > MOST_DEPTH) throw new RangeError(`a command is more than ${MOST_DEPTH} deep`)
    } else if (byte === CLOSE || byte === CLOSE_LIST) this.#depth--
  }

  #parse(): unknown {
    const text = new TextDecoder().decode(Uint8Array.from(this.#bytes))
    this.#bytes = []
    this.#depth = 0
    try {
      return JSON.parse(text)
    } catch (error) {
      return error
    }
  }
}

export interface MonitorPeer {
  write(text: string): void
  /** Bytes that the client has not read. */
  unread(): number
  end(): void
  /** @param listener - returns a promise that settles when the commands in the bytes are done */
  onData(listener: (bytes: Uint8Array) => Promise<void> | void): void
  onClose(listener: () => void): void
}

/** Most bytes that wait for a client that does not read. */
const MOST_UNREAD = 4 << 20
/** The bytes that a client may begin with: a blank, 0xFF, or an object. */
const FIRST_BYTES: readonly (number | undefined)[] = [0x20, 0x0a, 0x0d, 0xff, 0x7b]

export function serveQmp(peer: MonitorPeer, site: () => QmpSite): void {
  const stream = new JsonStream()
  let isReady = false
  let isClient = false
  const send = (message: object): void => {
    peer.write(`${JSON.stringify(message)}\r\n`)
    if (peer.unread() > MOST_UNREAD) peer.end()
  }
  const fail = (id: object, kind: string, desc: string): void => send({ error: { class: kind, desc }, ...id })
  const act = async (command: unknown): Promise<void> => {
    if (command instanceof Error) return fail({}, 'GenericError', `JSON parse error, ${command.message}`)
    if (typeof command !== 'object' || command === null || Array.isArray(command))
      return fail({}, 'GenericError', 'QMP input must be a JSON object')
    const { execute: name, arguments: given = {}, id, ...others } = command as Readonly<Record<string, unknown>>
    const echo = id === undefined ? {} : { id }
    const [other] = Object.keys(others)
    if (other !== undefined) return fail(echo, 'GenericError', `QMP input member '${other}' is unexpected`)
    if (typeof name !== 'string') return fail(echo, 'GenericError', "QMP input lacks member 'execute'")
    if (typeof given !== 'object' || given === null || Array.isArray(given))
      return fail(echo, 'GenericError', "QMP input member 'arguments' must be an object")
    if (name === 'qmp_capabilities') {
      if (isReady) return fail(echo, 'CommandNotFound', 'Capabilities negotiation is already complete, command ignored')
      isReady = true
      return send({ return: {}, ...echo })
    }
    if (!isReady) return fail(echo, 'CommandNotFound', "Expecting capabilities negotiation with 'qmp_capabilities'")
    if (!Object.hasOwn(QMP_COMMANDS, name))
      return fail(echo, 'CommandNotFound', `The command ${name.slice(0, 60)} has not been found`)
    try {
      send({ return: await QMP_COMMANDS[name]!(given as QmpArguments, site()), ...echo })
    } catch (error) {
      const kind = error instanceof QmpError ? error.kind : 'GenericError'
      fail(echo, kind, explainError(error)?.message ?? describeThrown(error))
    }
  }
  // One command after the other: answers come in the order of the commands.
  let last = Promise.resolve()
  const stop = site().control.listen(([event, data]) => {
    const now = Date.now()
    const timestamp = { seconds: Math.floor(now / 1000), microseconds: (now % 1000) * 1000 }
    if (isReady) send({ event, ...(data !== undefined && { data }), timestamp })
  })
  peer.onClose(stop)
  peer.onData(async (bytes) => {
    // A web page can make a browser send any data to a port, but only as an HTTP request.
    isClient ||= FIRST_BYTES.includes(bytes[0])
    if (!isClient) return peer.end()
    try {
      for (const command of stream.push(bytes)) last = last.then(() => act(command))
      await last
    } catch (error) {
      fail({}, 'GenericError', describeThrown(error))
      peer.end()
    }
  })
  send({ QMP: { version: QMP_VERSION, capabilities: [] } })
}
