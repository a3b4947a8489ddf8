import { latin1 } from './hex.ts'

/** Bytes of the longest packet, announced in `qSupported`. */
export const PACKET_BYTES = 0x4000

const DOLLAR = 0x24
const HASH = 0x23
const ESCAPE = 0x7d
const INTERRUPT = 0x03
const ESCAPE_BIT = 0x20

/** Takes the packets of a client. Packets are strings of bytes, each a character; escapes are undone. */
export interface PacketHandler {
  /** A packet with the right checksum. */
  packet(text: string): void
  /** A packet that is damaged, or longer than 16 KiB. */
  damaged(): void
  /** The client wants the target to stop. */
  interrupt(): void
  /** The client asks for the last reply again. */
  again(): void
}

/**
 * Takes the packets out of a stream of bytes.
 *
 * Source: Debugging with GDB, appendix E, "Remote Protocol", section "Overview".
 */
export class PacketReader {
  readonly #handler: PacketHandler
  readonly #bytes = new Uint8Array(PACKET_BYTES)
  #length = 0
  #sum = 0
  #inside = false
  #escaped = false
  #tooLong = false
  /** Digits of the checksum so far; −1: still within the packet. */
  #digits = -1
  #given = ''

  constructor(handler: PacketHandler) {
    this.#handler = handler
  }

  /** Processes received bytes, in pieces of any size. */
  push(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#digits >= 0) this.#checksum(byte)
      else if (this.#inside) this.#inner(byte)
      else if (byte === DOLLAR) this.#begin()
      else if (byte === INTERRUPT) this.#handler.interrupt()
      else if (byte === 0x2d) this.#handler.again()
    }
  }

  #begin(): void {
    this.#inside = true
    this.#escaped = false
    this.#tooLong = false
    this.#length = 0
    this.#sum = 0
  }

  #inner(byte: number): void {
    // A new packet begins before the last one has ended: the unfinished packet is dropped.
    if (byte === DOLLAR) return this.#begin()
    if (byte === HASH) {
      this.#digits = 0
      this.#given = ''
      return
    }
    this.#sum = (this.#sum + byte) & 0xff
    if (byte === ESCAPE && !this.#escaped) {
      this.#escaped = true
      return
    }
    if (this.#length === PACKET_BYTES) this.#tooLong = true
    else this.#bytes[this.#length++] = this.#escaped ? byte ^ ESCAPE_BIT : byte
    this.#escaped = false
  }

  #checksum(byte: number): void {
    this.#given += String.fromCharCode(byte)
    if (++this.#digits < 2) return
    this.#digits = -1
    this.#inside = false
    const right = /^[\da-f]{2}$/i.test(this.#given) && Number.parseInt(this.#given, 16) === this.#sum
    if (!right || this.#tooLong) return this.#handler.damaged()
    let text = ''
    for (let i = 0; i < this.#length; i++) text += String.fromCharCode(this.#bytes[i]!)
    this.#handler.packet(text)
  }
}

/** A packet with its frame. @param text - a character is a byte */
export function framePacket(text: string): Uint8Array {
  // Of a reply, `*` has to be escaped as well: it would be a run of equal characters.
  const escaped = text.replaceAll(/[#$}*]/g, (found) => `}${String.fromCharCode(found.charCodeAt(0) ^ ESCAPE_BIT)}`)
  let sum = 0
  for (let i = 0; i < escaped.length; i++) sum = (sum + escaped.charCodeAt(i)) & 0xff
  return latin1(`$${escaped}#${sum.toString(16).padStart(2, '0')}`)
}
