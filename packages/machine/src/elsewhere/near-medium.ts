import { type BlockBackend, BlockError, type BlockTrayState } from '@retrap/device'
import { BLOCK_ERRORS } from '../devices/media.ts'
import { DURABLE, LOCKED, OPEN, requestFlags } from './far-medium.ts'
import { MESSAGE, type Message, type Post, toJson } from '../back-ends/messages.ts'

/** CDs have blocks of this size, and a drive takes media whose blocks divide it. */
const CD_BLOCK_BYTES = 2048

/** A medium of this thread, used by a model of another one. */
export class NearMedium {
  readonly #medium: BlockBackend
  readonly #post: Post
  readonly #running = new Map<number, AbortController>()
  readonly #unwatch: () => void
  /** How often the medium has changed. */
  #changes = 0

  constructor(medium: BlockBackend, post: Post) {
    this.#medium = medium
    this.#post = post
    this.#unwatch = medium.onChange(() => {
      this.#changes++
      post(MESSAGE.changed, { bytes: toJson(medium.properties) })
    })
    // The model answers too late to ask it; a drive for CDs takes what all of them do.
    medium.tray?.connect({
      ejectRequested: () => post(MESSAGE.ejectRequested, {}),
      refuses: ({ blockBytes }) =>
        CD_BLOCK_BYTES % blockBytes === 0
          ? null
          : `a disc with blocks of ${blockBytes} bytes: expected a divisor of 2048`,
    })
  }

  /** The model's thread has ended. */
  leave(): void {
    this.#unwatch()
  }

  /** Takes what the model says. */
  receive(message: Message): void {
    const { kind, id, flags } = message
    if (kind === MESSAGE.cancel) this.#running.get(id)?.abort()
    else if (kind === MESSAGE.tray) {
      const state: BlockTrayState = { open: (flags & OPEN) !== 0, locked: (flags & LOCKED) !== 0 }
      this.#medium.tray?.moved(state)
    } else void this.#answer(message)
  }

  async #answer(message: Message): Promise<void> {
    const { id } = message
    const abort = new AbortController()
    this.#running.set(id, abort)
    let answer: Partial<Message>
    try {
      answer = { bytes: await this.#perform(message, abort.signal) }
    } catch (error) {
      const code = error instanceof BlockError ? error.code : 'ERR_MEDIUM'
      answer = { flags: 1 + BLOCK_ERRORS.indexOf(code) }
    }
    this.#running.delete(id)
    this.#post(MESSAGE.answer, { ...answer, id })
  }

  async #perform({ kind, flags, offset, length, bytes }: Message, signal: AbortSignal): Promise<Uint8Array> {
    const medium = this.#medium
    const isDurable = (flags & DURABLE) !== 0
    // Made of the medium before, by a model that has not heard of this one.
    if (medium.tray !== undefined && flags !== requestFlags(this.#changes, isDurable))
      throw new BlockError('ERR_NO_MEDIUM', 'the medium was taken out')
    switch (kind) {
      case MESSAGE.read: {
        const into = new Uint8Array(length)
        if (medium.readInPlace?.(offset, into) !== true) await medium.read(offset, into, { signal })
        return into
      }
      case MESSAGE.write:
        // The message's bytes are those of a stream, which goes on.
        await medium.write(offset, bytes.slice(), { signal, durable: isDurable })
        break
      case MESSAGE.flush:
        await medium.flush({ signal })
        break
      case MESSAGE.discard:
        await medium.discard(offset, length, { signal })
        break
      case MESSAGE.zeroes:
        await medium.writeZeroes(offset, length, { signal })
        break
    }
    return new Uint8Array(0)
  }
}
