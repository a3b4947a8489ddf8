import type { DeviceContext, DeviceModel, InterruptLine, OwnedMemory } from '@retrap/device'
import { PAGE_BYTES } from '@retrap/memory'
import { GENERATION, GENERATION_MODEL } from '../board/board-description.ts'
import { type RandomSource, SPREAD } from '../lifecycle/host.ts'
import { generationAfter, type MachineOptions } from '../options/machine-options.ts'
import type { DeviceSite, GenerationPlace, PlacedDevices } from './placed-devices.ts'

/** The identifier of a generation, in bytes. */
const ID_WORDS = 4

/**
 * The page that has the identifier of the machine's generation, and the interrupt that tells the guest of a new one: the ACPI
 * tables say where both are, and an Arm board's device tree. Linux then seeds its generator of random numbers anew.
 *
 * Source: Microsoft, "Virtual Machine Generation ID" (2012); Linux, drivers/virt/vmgenid.c, for the identifiers it looks for.
 */
class GenerationId implements DeviceModel {
  readonly name = GENERATION_MODEL
  // The identifier is in owned memory, which a reset leaves as it is.
  readonly stateless = true
  readonly deterministic = true
  readonly #random: () => number
  readonly #place: GenerationPlace
  #memory: OwnedMemory | null = null
  #line: InterruptLine | null = null

  constructor(random: () => number, place: GenerationPlace) {
    this.#random = random
    this.#place = place
  }

  attach(context: DeviceContext): void {
    this.#memory = context.ownMemory({ name: 'generation', bytes: PAGE_BYTES })
    context.mapMemory(this.#place.address, this.#memory)
    this.#line = context.interruptLine(this.#place.irq)
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
function goOn(model: GenerationId, options: MachineOptions, random: RandomSource): void {
  const after = generationAfter(options)
  if (after === 'same') return
  const last = random.save()
  // The host's next random number is arbitrary anyway.
  if (typeof after === 'number' && last !== null) random.restore(Math.imul(last ^ after, SPREAD) | 1)
  model.begin()
}

/** Makes the page with the generation's identifier. */
export function place({ options, random, generation }: DeviceSite): PlacedDevices {
  const model = new GenerationId(random, generation ?? GENERATION)
  return { models: [model], goesOn: (source) => goOn(model, options, source) }
}
