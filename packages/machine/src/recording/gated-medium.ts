import { type BlockBackend, BlockError, type BlockProperties, type BlockRequest, type BlockTray } from '@retrap/device'
import { BLOCK_ERRORS } from '../devices/media.ts'
import type { InputGate } from './gate.ts'

const EJECT_REQUESTED = new Uint8Array()

/**
 * A medium whose answers are recorded, or come from the recording. The virtual instant of an answer follows from that of
 * the request (see `LateAnswers` of `@retrap/device`); recorded are the bytes that were read and the failures. A replay
 * needs no image: what the guest writes is dropped, and what it reads is in the recording.
 */
export class GatedMedium implements BlockBackend {
  readonly #gate: InputGate
  readonly #medium: BlockBackend | null
  readonly #number: number
  readonly #listeners = new Set<() => void>()
  readonly tray?: BlockTray
  #properties: BlockProperties
  #ejectRequested: () => void = () => undefined

  /** @param properties - those of the medium when the machine was made */
  constructor(
    gate: InputGate,
    name: string,
    medium: BlockBackend | null,
    properties: BlockProperties,
    hasTray: boolean,
  ) {
    this.#gate = gate
    this.#medium = medium
    this.#number = gate.party(name, (data) => this.#changed(data), {
      save: () => this.#properties,
      restore: () => undefined,
      isFixed: true,
    })
    // The machine is made with the medium that was in.
    this.#properties = (gate.savedOf(this.#number) as BlockProperties | undefined) ?? properties
    medium?.onChange(() => gate.post(this.#number, new TextEncoder().encode(JSON.stringify(medium.properties))))
    if (hasTray) this.tray = this.#gatedTray(medium?.tray)
  }

  #gatedTray(tray: BlockTray | undefined): BlockTray {
    return {
      connect: (client) => {
        this.#ejectRequested = () => client.ejectRequested()
        tray?.connect({
          ejectRequested: () => this.#gate.post(this.#number, EJECT_REQUESTED),
          refuses: (properties) => client.refuses(properties),
        })
      },
      moved: (state) => tray?.moved(state),
    }
  }

  #changed(data: Uint8Array): void {
    if (data.length === 0) return this.#ejectRequested()
    this.#properties = JSON.parse(new TextDecoder().decode(data)) as BlockProperties
    for (const listener of this.#listeners) listener()
  }

  get properties(): BlockProperties {
    return this.#properties
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async read(offset: number, into: Uint8Array, request?: BlockRequest): Promise<void> {
    await this.#ask(`read ${offset} ${into.length}`, request, (medium) => medium.read(offset, into, request), into)
  }

  async write(offset: number, from: Uint8Array, request?: BlockRequest): Promise<void> {
    await this.#ask(`write ${offset} ${from.length}`, request, (medium) => medium.write(offset, from, request))
  }

  async flush(request?: BlockRequest): Promise<void> {
    await this.#ask('flush', request, (medium) => medium.flush(request))
  }

  async discard(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    await this.#ask(`discard ${offset} ${bytes}`, request, (medium) => medium.discard(offset, bytes, request))
  }

  async writeZeroes(offset: number, bytes: number, request?: BlockRequest): Promise<void> {
    await this.#ask(`zeroes ${offset} ${bytes}`, request, (medium) => medium.writeZeroes(offset, bytes, request))
  }

  async #ask(
    key: string,
    request: BlockRequest | undefined,
    act: (medium: BlockBackend) => Promise<void>,
    into?: Uint8Array,
  ): Promise<void> {
    const ask = async (): Promise<number> => {
      try {
        await act(this.#medium!)
        return 0
      } catch (error) {
        const code = error instanceof BlockError ? error.code : 'ERR_MEDIUM'
        // A medium of a user may have a code of its own.
        return 1 + BLOCK_ERRORS.indexOf(BLOCK_ERRORS.includes(code) ? code : 'ERR_MEDIUM')
      }
    }
    const status = await this.#gate.ask(this.#number, key, into, ask, request?.signal)
    if (status === 0) return
    // A recording has nothing of what a read that failed has read.
    into?.fill(0)
    throw new BlockError(BLOCK_ERRORS[status - 1] ?? 'ERR_MEDIUM', `${key}: the medium failed`)
  }
}
