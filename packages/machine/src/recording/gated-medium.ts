import type { BlockBackend, BlockProperties, BlockRequest, BlockTray } from '@retrap/device'
import { askMedium, FarMedium, type MediumRequest } from '../back-ends/media.ts'
import { fromJson, MESSAGE, toJson } from '../back-ends/messages.ts'
import type { InputGate } from './input-gate.ts'

const EJECT_REQUESTED = new Uint8Array()

/**
 * A medium whose answers are recorded, or come from the recording. The virtual instant of an answer follows from that of
 * the request (see `LateAnswers` of `@retrap/device`); recorded are the bytes that were read and the failures. A replay
 * needs no image: the guest's writes are dropped, and the data of its reads is in the recording.
 */
export class GatedMedium extends FarMedium {
  readonly #gate: InputGate
  readonly #medium: BlockBackend | null
  readonly #number: number
  readonly tray?: BlockTray

  /** @param properties - properties of the medium when the machine was made */
  constructor(
    gate: InputGate,
    name: string,
    medium: BlockBackend | null,
    properties: BlockProperties,
    hasTray: boolean,
  ) {
    super(properties)
    this.#gate = gate
    this.#medium = medium
    this.#number = gate.party(name, (data) => this.#changed(data), {
      save: () => this.properties,
      restore: () => undefined,
      isFixed: true,
    })
    // The machine is made with the medium that was in.
    this.properties = (gate.savedOf(this.#number) as BlockProperties | undefined) ?? properties
    medium?.onChange(() => gate.post(this.#number, toJson(medium.properties)))
    if (hasTray) this.tray = this.#gatedTray(medium?.tray)
  }

  #gatedTray(tray: BlockTray | undefined): BlockTray {
    return {
      connect: (client) => {
        this.client = client
        tray?.connect({
          ejectRequested: () => this.#gate.post(this.#number, EJECT_REQUESTED),
          refuses: (properties) => client.refuses(properties),
        })
      },
      moved: (state) => tray?.moved(state),
    }
  }

  #changed(data: Uint8Array): void {
    if (data.length === 0) this.client?.ejectRequested()
    else this.changeTo(fromJson(data) as BlockProperties)
  }

  protected ask(key: string, asked: MediumRequest, request?: BlockRequest): Promise<number> {
    const into = asked.kind === MESSAGE.read ? asked.bytes : undefined
    return this.#gate.ask(this.#number, key, into, () => askMedium(this.#medium!, asked, request), request?.signal)
  }
}
