import { DisplayError } from '../errors.ts'
import type { Keyboard } from '../input/keyboard.ts'
import type { Mouse } from '../input/mouse.ts'
import type { Screen, ScreenFrame } from '../screen.ts'
import { hasDes } from './des.ts'
import { type Compressor, UpdateSender, type VncTransport } from './update-sender.ts'
import type { DisplayRectangle } from '@retrap/device'
import { ClientInput } from './client-input.ts'
import { handshake, type HandshakeSettings } from './handshake.ts'
import { readLayout, SERVER_LAYOUT } from './pixel-format.ts'
import * as rfb from './protocol.ts'

/** The parts that a client is connected to. */
interface SessionSettings extends HandshakeSettings {
  readonly screen: Screen
  readonly keyboard: Keyboard
  readonly mouse: Mouse
  readonly createCompressor: (() => Compressor) | undefined
}

/** A client that has not begun in this time is in the way. */
const HANDSHAKE_MS = 30_000
/** Size of the pieces in which ignored bytes are skipped. */
const SKIP_BYTES = 4096

/** One client's session. It never throws: invalid input ends the connection. */
class VncSession {
  readonly #settings: SessionSettings
  readonly #transport: VncTransport
  readonly #sender: UpdateSender
  readonly #input: ClientInput
  readonly #onClose: () => void
  readonly #reads: Generator<number, void, Uint8Array>
  /** The bytes that the protocol waits for, and the number received. */
  #wanted: Uint8Array = new Uint8Array(0)
  #arrived = 0
  #unwatch: (() => void) | null = null
  #timer: unknown
  #isLetIn = false
  #closed = false

  constructor(settings: SessionSettings, transport: VncTransport, onClose: () => void) {
    this.#settings = settings
    this.#transport = transport
    this.#onClose = onClose
    this.#input = new ClientInput(settings.keyboard, settings.mouse)
    this.#sender = new UpdateSender(settings, transport, () => this.close())
    this.#reads = this.#protocol()
    this.#timer = setTimeout(() => this.close(), HANDSHAKE_MS)
    this.#advance(new Uint8Array(0))
  }

  /** Whether the handshake with the client is complete, including its password. */
  get isLetIn(): boolean {
    return this.#isLetIn
  }

  /** Takes bytes of the client. */
  receive(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length && !this.#closed) {
      const count = Math.min(this.#wanted.length - this.#arrived, bytes.length - at)
      this.#wanted.set(bytes.subarray(at, at + count), this.#arrived)
      this.#arrived += count
      at += count
      if (this.#arrived === this.#wanted.length) this.#advance(this.#wanted)
    }
  }

  /** Ends the connection, and releases the client's keys and buttons. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    this.#unwatch?.()
    this.#sender.close()
    this.#input.release()
    this.#transport.close()
    this.#onClose()
  }

  #advance(bytes: Uint8Array): void {
    const next = this.#reads.next(bytes)
    if (next.done === true) {
      this.close()
      return
    }
    this.#wanted = new Uint8Array(next.value)
    this.#arrived = 0
  }

  #send(bytes: Uint8Array): void {
    this.#transport.write(bytes).catch(() => this.close())
  }

  /** Handles the client's messages in order, up to the first invalid one. */
  *#protocol(): Generator<number, void, Uint8Array> {
    if (!(yield* handshake(this.#settings, (bytes) => this.#send(bytes)))) return
    clearTimeout(this.#timer)
    this.#isLetIn = true
    // First, because a card does not report its size before its first viewer.
    this.#unwatch = this.#settings.screen.watch((frame: ScreenFrame) => this.#sender.changed(frame))
    const { width, height } = this.#sender.begin()
    this.#send(this.#sender.serverInit(width, height, SERVER_LAYOUT, this.#settings.name))
    for (;;) {
      const [type = 0] = yield 1
      if (type === rfb.SET_PIXEL_FORMAT) {
        if (!this.#setLayout(yield 19)) return
      } else if (type === rfb.SET_ENCODINGS) yield* this.#setEncodings()
      else if (type === rfb.UPDATE_REQUEST) this.#request(yield 9)
      else if (type === rfb.KEY_EVENT) {
        const view = viewOf(yield 7)
        this.#input.keysym(view.getUint32(3), view.getUint8(0) !== 0)
      } else if (type === rfb.POINTER_EVENT) this.#pointer(yield 5)
      else if (type === rfb.CUT_TEXT) yield* skip(viewOf(yield 7).getUint32(3))
      else if (type === rfb.SET_DESKTOP_SIZE) {
        const view = viewOf(yield 7)
        yield* skip(16 * view.getUint8(5))
        this.#sender.refuseSize()
      } else if (type === rfb.QEMU_MESSAGE) {
        if ((yield 1)[0] !== rfb.QEMU_KEY_EVENT) return
        const view = viewOf(yield 10)
        this.#input.scanCode(view.getUint32(6), view.getUint32(2), view.getUint16(0) !== 0)
      } else return
    }
  }

  /** @returns false for a format that cannot be */
  #setLayout(bytes: Uint8Array): boolean {
    const layout = readLayout(bytes.subarray(3))
    if (layout === undefined) return false
    this.#sender.setLayout(layout)
    return true
  }

  *#setEncodings(): Generator<number, void, Uint8Array> {
    const count = viewOf(yield 3).getUint16(1)
    const known = new Set<number>()
    for (let i = 0; i < count; i++) {
      const encoding = viewOf(yield 4).getInt32(0)
      if (UNDERSTOOD.has(encoding)) known.add(encoding)
    }
    this.#sender.setEncodings(known)
  }

  #request(bytes: Uint8Array): void {
    const view = viewOf(bytes)
    const area: DisplayRectangle = {
      x: view.getUint16(1),
      y: view.getUint16(3),
      width: view.getUint16(5),
      height: view.getUint16(7),
    }
    this.#sender.request(area, view.getUint8(0) !== 0)
  }

  #pointer(bytes: Uint8Array): void {
    const view = viewOf(bytes)
    const { width, height, tellsMovements } = this.#sender
    this.#input.pointer(view.getUint8(0), view.getUint16(1), view.getUint16(3), width, height, tellsMovements)
  }
}

const UNDERSTOOD: ReadonlySet<number> = new Set([
  rfb.RAW,
  rfb.TIGHT,
  rfb.ZRLE,
  rfb.CURSOR,
  rfb.DESKTOP_SIZE,
  rfb.EXTENDED_DESKTOP_SIZE,
  rfb.QEMU_EXTENDED_KEYS,
  rfb.QEMU_POINTER_MOTION,
])

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Passes over bytes without keeping them, however many a client announces. */
function* skip(count: number): Generator<number, void, Uint8Array> {
  for (let left = count; left > 0; left -= SKIP_BYTES) yield Math.min(left, SKIP_BYTES)
}

/** Options of {@link VncServer}. */
export interface VncServerOptions {
  /** The screen that clients see. */
  readonly screen: Screen
  /** The keyboard that clients type on. */
  readonly keyboard: Keyboard
  /** The mouse that clients move. */
  readonly mouse: Mouse
  /** The desktop's name; default `retrap`. */
  readonly name?: string
  /** The password that clients must know: 1 to 8 characters of Latin-1; under Node, Bun or Deno. Default none: everybody may connect. */
  readonly password?: string
  /** Most clients at a time, including unauthenticated ones; default 8. */
  readonly maximumClients?: number
  /** Makes a zlib stream of a client, for the encodings Tight and ZRLE. Default none: pixels are sent as they are. */
  readonly createCompressor?: () => Compressor
}

const MOST_CLIENTS = 8
const LONGEST_PASSWORD = 8

/** One client of a {@link VncServer}. */
export interface VncConnection {
  /** Takes bytes that the client has sent. */
  receive(bytes: Uint8Array): void
  /** Ends the connection, from either side. */
  close(): void
}

/**
 * Shows a machine's screen to VNC clients, and takes their keys and pointers. It speaks RFB 3.8 over anything that carries
 * bytes: `@retrap/display/node` has TCP and WebSockets.
 *
 * A client's bytes can end its own connection and nothing else. A client that reads slowly gets fewer updates, each with
 * all that has changed: no queue grows.
 *
 * Source: RFC 6143, "The Remote Framebuffer Protocol".
 */
export class VncServer {
  readonly #options: VncServerOptions
  readonly #sessions = new Set<VncSession>()

  /** @throws DisplayError `ERR_OPTION` */
  constructor(options: VncServerOptions) {
    const { password, maximumClients = MOST_CLIENTS } = options
    if (password !== undefined && !/^[ -~\u00a0-\u00ff]{1,8}$/.test(password)) {
      const expected = `1 to ${LONGEST_PASSWORD} printable characters of Latin-1, which is all that VNC compares`
      throw new DisplayError('ERR_OPTION', `password of ${password.length} characters: expected ${expected}`)
    }
    if (password !== undefined && !hasDes)
      throw new DisplayError('ERR_OPTION', 'password: expected a host with node:crypto, which has the DES of VNC')
    if (!Number.isInteger(maximumClients) || maximumClients < 1) {
      throw new DisplayError('ERR_OPTION', `maximumClients ${maximumClients}: expected a whole number above 0`)
    }
    this.#options = options
  }

  /** Number of connected clients. */
  get clients(): number {
    return this.#sessions.size
  }

  /** Whether clients must know a password. */
  get hasPassword(): boolean {
    return this.#options.password !== undefined
  }

  /**
   * Starts a client's session. If there are too many, the oldest unauthenticated one is closed, so that silent
   * connections do not exclude others. If all are authenticated, the new one is closed.
   */
  connect(transport: VncTransport): VncConnection {
    const { screen, keyboard, mouse, name = 'retrap', password, createCompressor } = this.#options
    const { maximumClients = MOST_CLIENTS } = this.#options
    if (this.#sessions.size >= maximumClients) this.#oldestStranger()?.close()
    if (this.#sessions.size >= maximumClients) {
      transport.close()
      return { receive: () => {}, close: () => {} }
    }
    const random = (bytes: Uint8Array): void => void host.crypto.getRandomValues(bytes)
    const settings = { screen, keyboard, mouse, name, password, random, createCompressor }
    const session = new VncSession(settings, transport, () => this.#sessions.delete(session))
    this.#sessions.add(session)
    return session
  }

  /** The sessions are in the order in which they began. */
  #oldestStranger(): VncSession | undefined {
    for (const session of this.#sessions) if (!session.isLetIn) return session
    return undefined
  }

  /** Ends all connections. */
  close(): void {
    for (const session of this.#sessions) session.close()
  }
}

/** Globals of Node and browsers that the language's own types lack. */
const host = globalThis as unknown as { readonly crypto: { getRandomValues(bytes: Uint8Array): Uint8Array } }
