import type { HttpFileState, RangeStore, SyncAccessHandle } from '@retrap/block'
import { crc32 } from '@retrap/snapshot'

// A file of this format: a head of HEAD_BYTES, and slots of SLOT_HEAD_BYTES + chunkBytes, of which the last one may be shorter. All
// numbers are little-endian.
//
//   head  0 magic, 8 bytes of chunk (u32), 12 length of JSON (u32), 16 CRC-32 of JSON (u32), 20 JSON: KeptHead
//   slot  0 number of the chunk (u32), 4 its bytes (u32), 8 CRC-32 of it (u32), 12 CRC-32 of those three (u32), 16 the chunk
const MAGIC = 0x3152_6372_7274_6572n
const HEAD_BYTES = 8192
const JSON_AT = 20
const SLOT_HEAD_BYTES = 16

interface KeptHead extends HttpFileState {
  /** The complete address: another server's file differs, even with the same tag. */
  readonly url: string
}

/** A file of the browser's. */
export interface RangeFile extends SyncAccessHandle {
  /** Cuts the file off. */
  truncate(bytes: number): void
}

/** Options of {@link KeptRanges}. */
export interface KeptRangesOptions {
  readonly url: string
  readonly chunkBytes: number
  /** The file grows no larger. */
  readonly mostBytes: number
  /** Called when the store is closed. */
  readonly closed?: () => void
}

/** Chunks of a file on a web server, kept in a file of the browser's. Nothing in that file is trusted. */
export class KeptRanges implements RangeStore {
  readonly chunkBytes: number
  readonly #handle: RangeFile
  readonly #url: string
  readonly #mostBytes: number
  readonly #closed: (() => void) | undefined
  #kept: HttpFileState | null = null
  /** Slots by number of their chunk. */
  readonly #slots = new Map<number, number>()
  /** Slots with damaged content, free for reuse. */
  readonly #free: number[] = []
  /** Slots that the file has. */
  #count = 0
  #isFull = false

  /** @param handle - of a file that is of this format, or empty, or damaged; `close` closes it */
  constructor(handle: RangeFile, { url, chunkBytes, mostBytes, closed }: KeptRangesOptions) {
    this.#handle = handle
    this.#url = url
    this.chunkBytes = chunkBytes
    this.#mostBytes = mostBytes
    this.#closed = closed
    try {
      this.#kept = this.#readHead()
      if (this.#kept !== null) this.#readSlots(this.#kept)
    } catch {
      this.#kept = null
    }
  }

  get kept(): HttpFileState | null {
    return this.#kept
  }

  get #stride(): number {
    return SLOT_HEAD_BYTES + this.chunkBytes
  }

  use(state: HttpFileState): boolean {
    if (this.#kept?.tag === state.tag && this.#kept.bytes === state.bytes) return true
    this.#forget()
    const json = new TextEncoder().encode(
      JSON.stringify({ url: this.#url, tag: state.tag, bytes: state.bytes } satisfies KeptHead),
    )
    if (json.length > HEAD_BYTES - JSON_AT || this.#mostBytes < HEAD_BYTES) return false
    const head = new Uint8Array(HEAD_BYTES)
    const view = new DataView(head.buffer)
    view.setBigUint64(0, MAGIC, true)
    view.setUint32(8, this.chunkBytes, true)
    view.setUint32(12, json.length, true)
    view.setUint32(16, crc32(json), true)
    head.set(json, JSON_AT)
    try {
      // The old chunks go first: a tab that is closed in between leaves a file that says nothing.
      this.#handle.truncate(0)
      if (!this.#put(head, 0)) return false
    } catch {
      return false
    }
    this.#kept = { tag: state.tag, bytes: state.bytes }
    return true
  }

  read(index: number): Uint8Array | null {
    const slot = this.#slots.get(index)
    if (slot === undefined) return null
    try {
      const at = HEAD_BYTES + slot * this.#stride
      const head = this.#get(at, SLOT_HEAD_BYTES)
      const content = this.#get(at + SLOT_HEAD_BYTES, this.#lengthOf(index))
      if (head !== null && content !== null && crc32(content) === viewOf(head).getUint32(8, true)) return content
    } catch {
      // The browser has taken the file away, or its disk has failed.
    }
    this.#slots.delete(index)
    this.#free.push(slot)
    return null
  }

  write(index: number, content: Uint8Array): void {
    if (this.#isFull || this.#kept === null || this.#slots.has(index) || content.length !== this.#lengthOf(index))
      return
    const slot = this.#free.at(-1) ?? this.#count
    const at = HEAD_BYTES + slot * this.#stride
    if (slot === this.#count && at + this.#stride > this.#mostBytes) return
    const all = new Uint8Array(SLOT_HEAD_BYTES + content.length)
    const view = viewOf(all)
    view.setUint32(0, index, true)
    view.setUint32(4, content.length, true)
    view.setUint32(8, crc32(content), true)
    view.setUint32(12, crc32(all.subarray(0, 12)), true)
    all.set(content, SLOT_HEAD_BYTES)
    try {
      // A partly written slot fails its checksum.
      this.#isFull = !this.#put(all, at)
    } catch {
      this.#isFull = true
    }
    if (this.#isFull) return
    if (slot === this.#count) this.#count++
    else this.#free.pop()
    this.#slots.set(index, slot)
  }

  /** Drops all chunks, which a reader found wrong. Nothing more is kept. */
  drop(): void {
    this.#forget()
    try {
      this.#handle.truncate(0)
    } catch {
      // The file stays damaged, which its next opening detects.
    }
  }

  #forget(): void {
    this.#kept = null
    this.#slots.clear()
    this.#free.length = 0
    this.#count = 0
  }

  close(): void {
    this.#kept = null
    this.#slots.clear()
    try {
      this.#handle.close()
    } catch {
      // The file is closed then.
    }
    this.#closed?.()
  }

  #lengthOf(index: number): number {
    return Math.min(this.chunkBytes, (this.#kept?.bytes ?? 0) - index * this.chunkBytes)
  }

  #readHead(): HttpFileState | null {
    const head = this.#get(0, HEAD_BYTES)
    if (head === null) return null
    const view = viewOf(head)
    const length = view.getUint32(12, true)
    if (view.getBigUint64(0, true) !== MAGIC || view.getUint32(8, true) !== this.chunkBytes) return null
    if (length > HEAD_BYTES - JSON_AT) return null
    const json = head.subarray(JSON_AT, JSON_AT + length)
    if (crc32(json) !== view.getUint32(16, true)) return null
    const { url, tag, bytes } = JSON.parse(new TextDecoder().decode(json)) as KeptHead
    const isState = typeof tag === 'string' && Number.isSafeInteger(bytes) && bytes > 0
    return url === this.#url && isState ? { tag, bytes } : null
  }

  #readSlots({ bytes }: HttpFileState): void {
    this.#count = Math.ceil((this.#handle.getSize() - HEAD_BYTES) / this.#stride)
    const chunks = Math.ceil(bytes / this.chunkBytes)
    for (let slot = 0; slot < this.#count; slot++) {
      const head = this.#get(HEAD_BYTES + slot * this.#stride, SLOT_HEAD_BYTES)
      const view = head === null ? null : viewOf(head)
      const index = view?.getUint32(0, true) ?? chunks
      const isGood = head !== null && view!.getUint32(12, true) === crc32(head.subarray(0, 12))
      if (isGood && index < chunks && view!.getUint32(4, true) === this.#lengthOf(index) && !this.#slots.has(index))
        this.#slots.set(index, slot)
      else this.#free.push(slot)
    }
  }

  /** @returns null if the file ends within the range */
  #get(at: number, bytes: number): Uint8Array | null {
    const into = new Uint8Array(bytes)
    return this.#handle.read(into, { at }) === bytes ? into : null
  }

  /** @returns false if no room is left */
  #put(from: Uint8Array, at: number): boolean {
    return this.#handle.write(from, { at }) === from.length
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
