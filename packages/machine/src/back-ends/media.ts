import {
  type BlockBackend,
  BlockError,
  type BlockErrorCode,
  type BlockProperties,
  type BlockRequest,
  type BlockTrayClient,
} from '@retrap/device'
import { MESSAGE, type Message } from './messages.ts'

/*
 * A medium used by a model in another thread, or behind the gate of a recording.
 */

/** A request to a medium. `bytes` is the data to write, or the buffer to read into. */
export type MediumRequest = Pick<Message, 'kind' | 'offset' | 'length' | 'bytes'>

/** Failures of media, in the order of their numbers in answers, from 1 on; 0 is success. */
const BLOCK_ERRORS: readonly BlockErrorCode[] = [
  'ERR_RANGE',
  'ERR_READ_ONLY',
  'ERR_NO_SPACE',
  'ERR_MEDIUM',
  'ERR_NO_MEDIUM',
  'ERR_CANCELLED',
]

const NOTHING = new Uint8Array()

/** The model's end. */
export abstract class FarMedium implements BlockBackend {
  properties: BlockProperties
  protected client: BlockTrayClient | null = null
  readonly #listeners = new Set<() => void>()

  constructor(properties: BlockProperties) {
    this.properties = properties
  }

  /**
   * Sends a request to the other end, and fills the buffer of a read.
   *
   * @param key - identifies the request: two requests with one key may share an answer
   * @returns the answer of {@link askMedium}
   */
  protected abstract ask(key: string, asked: MediumRequest, request?: BlockRequest): Promise<number>

  /** Replaces the medium by another, or changes its size. */
  protected changeTo(properties: BlockProperties): void {
    this.properties = properties
    for (const listener of this.#listeners) listener()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  read(offset: number, into: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#ask('read', offset, into.length, into, request)
  }

  write(offset: number, from: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#ask('write', offset, from.length, from, request)
  }

  flush(request?: BlockRequest): Promise<void> {
    return this.#ask('flush', 0, 0, NOTHING, request)
  }

  discard(offset: number, length: number, request?: BlockRequest): Promise<void> {
    return this.#ask('discard', offset, length, NOTHING, request)
  }

  writeZeroes(offset: number, length: number, request?: BlockRequest): Promise<void> {
    return this.#ask('zeroes', offset, length, NOTHING, request)
  }

  async #ask(
    what: 'read' | 'write' | 'flush' | 'discard' | 'zeroes',
    offset: number,
    length: number,
    bytes: Uint8Array,
    request: BlockRequest | undefined,
  ): Promise<void> {
    const key = what === 'flush' ? what : `${what} ${offset} ${length}`
    const status = await this.ask(key, { kind: MESSAGE[what], offset, length, bytes }, request)
    if (status === 0) return
    // The other end sends no data of a failed read.
    if (what === 'read') bytes.fill(0)
    throw new BlockError(BLOCK_ERRORS[status - 1] ?? 'ERR_MEDIUM', `${key}: the medium failed`)
  }
}

/** Executes a request of the model's end. @returns 0, or the number of the failure */
export async function askMedium(
  medium: BlockBackend,
  { kind, offset, length, bytes }: MediumRequest,
  request?: BlockRequest,
): Promise<number> {
  try {
    if (kind === MESSAGE.read) {
      if (medium.readInPlace?.(offset, bytes) !== true) await medium.read(offset, bytes, request)
    } else if (kind === MESSAGE.write) await medium.write(offset, bytes, request)
    else if (kind === MESSAGE.flush) await medium.flush(request)
    else if (kind === MESSAGE.discard) await medium.discard(offset, length, request)
    else await medium.writeZeroes(offset, length, request)
    return 0
  } catch (error) {
    // A user's medium may throw a code of its own.
    return (error instanceof BlockError && numberOf(error.code)) || numberOf('ERR_MEDIUM')
  }
}

/** Returns the number of a failure in responses; 0: unknown code. */
export const numberOf = (code: BlockErrorCode): number => 1 + BLOCK_ERRORS.indexOf(code)
