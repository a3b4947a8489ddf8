import type { DeviceContext, DeviceModel, InterruptLine, OwnedMemory } from '@retrap/device'
import { PAGE_BYTES } from '@retrap/memory'
import { GENERATION } from '../board/board-description.ts'
import { type RandomSource, SPREAD } from '../life/host.ts'
import type { PcOptions } from '../options/pc-options.ts'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'

/** The identifier of a generation, in bytes. */
const ID_WORDS = 4

/**
 * The page that has the identifier of the machine's generation, and the interrupt that tells the guest of a new one: its ACPI
 * tables say where both are. Linux then seeds its generator of random numbers anew.
 *
 * Source: Microsoft, "Virtual Machine Generation ID" (2012); Linux, drivers/virt/vmgenid.c, for the identifiers it looks for.
 */
class GenerationId implements DeviceModel {
  readonly name = 'vmgenid'
  // The identifier is in owned memory, which a reset leaves as it is.
  readonly stateless = true
  readonly deterministic = true
  readonly #random: () => number
  #memory: OwnedMemory | null = null
  #line: InterruptLine | null = null

  constructor(random: () => number) {
    this.#random = random
  }

  attach(context: DeviceContext): void {
    this.#memory = context.ownMemory({ name: 'generation', bytes: PAGE_BYTES })
    context.mapMemory(GENERATION.address, this.#memory)
    this.#line = context.interruptLine(GENERATION.irq)
    this.#renew()
  }

  /** Begins a new generation, and tells the guest. */
  begin(): void {
    this.#renew()
    this.#line?.pulse()
  }

  #renew(): void {
    this.#memory?.write(0, new Uint8Array(Uint32Array.from({ length: ID_WORDS }, this.#random).buffer))
  }
}

/** Begins a new generation of a machine that goes on from an earlier instant, as its options say. */
function goOn(model: GenerationId, { generation, clock }: PcOptions, random: RandomSource): void {
  const { after = clock === 'deterministic' ? 'same' : 'new' } = generation ?? {}
  if (after === 'same') return
  const last = random.save()
  // Of the host's numbers the next one is arbitrary anyway.
  if (typeof after === 'number' && last !== null) random.restore(Math.imul(last ^ after, SPREAD) | 1)
  model.begin()
}

/** Makes the page with the generation's identifier. */
export function place({ options, random }: Pick<DeviceSite, 'options' | 'random'>): PlacedDevices {
  const model = new GenerationId(random)
  return { models: [model], goesOn: (source) => goOn(model, options, source) }
}
