import type { BlockProperties, InputBackend } from '@retrap/device'
import { LoggedMemory } from '@retrap/hvm'
import type { PcDrive } from '../drives.ts'
import { MachineError } from '../errors.ts'
import type { PcOptions } from '../pc-options.ts'
import { isRemovable } from '../removable-drive.ts'
import type { PcVirtioDevice } from '../virtio-device.ts'
import type { InputGate } from './gate.ts'
import { GatedMedium } from './gated-medium.ts'
import { factsOf, GatedPackets, type NetworkFacts } from './gated-packets.ts'
import { gatedInput } from './gated-input.ts'
import { GatedStream } from './gated-stream.ts'
import type { GatedMachine, PcInputs } from './pc-inputs.ts'
import type { FlashFacts } from './recorded-flash.ts'
import { NO_MEDIUM } from '../media.ts'

/** A recording has at most so much of an input in one event. */
const INPUT_BYTES = 2 ** 20

/** What back ends were when the machine was made: plain data, which a replay has instead of them. */
export interface BackEndFacts {
  readonly media: readonly BlockProperties[]
  readonly networks: readonly NetworkFacts[]
  readonly flash: readonly FlashFacts[]
}

/** The facts about the back ends that options name. @param flash - what its flash memories hold */
export function backEndFacts(
  { drives = [], virtio = [], networkCards = [] }: PcOptions,
  flash: readonly FlashFacts[],
): BackEndFacts {
  const cards = [...virtio.filter((device) => device.kind === 'net'), ...networkCards]
  return {
    media: drives.map(({ medium }) => medium?.properties ?? NO_MEDIUM),
    networks: cards.map(({ network }) => factsOf(network)),
    flash,
  }
}

/** Refuses options whose inputs cannot be recorded. @throws MachineError `ERR_OPTION` */
export function checkRecordable(options: PcOptions): void {
  const { virtio = [], usb, devicePlacement = 'inline' } = options
  const refused =
    (options.clock !== 'deterministic' && "clock: expected 'deterministic'") ||
    (devicePlacement !== 'inline' && "devicePlacement: expected 'inline'") ||
    (options.controllerPlacement !== undefined && 'controllerPlacement: expected none') ||
    (options.hypervisor === 'xen' && "hypervisor: expected 'none'") ||
    ((options.deviceServers ?? []).length > 0 && 'deviceServers: expected none') ||
    (virtio.some(({ kind }) => kind === 'share') && 'virtio: a share of files of the host') ||
    (virtio.some(({ kind }) => kind === 'device') && 'virtio: a device of your own') ||
    (usb?.devices?.some(({ kind }) => kind === 'device') === true && 'usb: a device of your own')
  if (refused !== false) throw new MachineError('ERR_OPTION', `a run with this cannot be recorded: ${refused}`)
}

/** Puts an {@link InputGate} between the models of a PC and what is outside. */
export class PcGate implements PcInputs {
  readonly gate: InputGate
  /** The machine, when it is made. */
  machine!: GatedMachine
  /** Frames of its RAM that were written since they were all zeros, if that is wanted. */
  sinceZeros: LoggedMemory | null = null
  readonly #wantsWritten: boolean
  readonly #facts: BackEndFacts
  readonly #drives: readonly PcDrive[]

  /**
   * @param options - as they were given, before drives have trays
   * @param wantsWritten - what is written into the machine while it is made is logged
   */
  constructor(gate: InputGate, facts: BackEndFacts, options: PcOptions, wantsWritten = false) {
    this.#wantsWritten = wantsWritten
    this.gate = gate
    this.#facts = facts
    this.#drives = options.drives ?? []
  }

  get isRecording(): boolean {
    return this.gate.hasOutside
  }

  start(machine: GatedMachine): void {
    this.machine = machine
    const { domain } = machine
    if (this.#wantsWritten && !domain.writtenElsewhere) this.sinceZeros = new LoggedMemory(domain)
    this.gate.start(domain)
  }

  /** Puts the gate before all back ends of the options. */
  options(options: PcOptions): PcOptions {
    const { gate } = this
    const { media, networks } = this.#facts
    const { drives, virtio, networkCards } = options
    let card = 0
    const network = <Card extends { readonly network: Parameters<typeof factsOf>[0] }>(given: Card): Card => {
      const facts = networks[card]!
      const outside = gate.hasOutside ? given.network : null
      return { ...given, network: new GatedPackets(gate, `network ${card++}`, outside, facts) }
    }
    const device = (given: PcVirtioDevice, index: number): PcVirtioDevice => {
      if (given.kind === 'net') return network(given)
      if (given.kind !== 'console') return given
      const ports = given.ports.map((port, i) => ({
        ...port,
        stream: new GatedStream(gate, `console ${index}.${i}`, gate.hasOutside ? port.stream : null),
      }))
      return { ...given, ports }
    }
    return {
      ...options,
      ...(drives !== undefined && { drives: drives.map((drive, i) => this.#drive(drive, i, media[i]!)) }),
      ...(virtio !== undefined && { virtio: virtio.map(device) }),
      ...(networkCards !== undefined && { networkCards: networkCards.map(network) }),
    }
  }

  #drive(drive: PcDrive, index: number, properties: BlockProperties): PcDrive {
    const { gate } = this
    const outside = gate.hasOutside ? drive.medium : null
    const hasTray = isRemovable(this.#drives[index] ?? drive)
    return { ...drive, medium: new GatedMedium(gate, `drive ${index}`, outside, properties, hasTray) }
  }

  /** Puts the gate before the input of a serial port. */
  serial(port: number, receive: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void {
    const { gate } = this
    const number = gate.party(`serial ${port}`, receive)
    return (bytes) => {
      for (let at = 0; at < bytes.length; at += INPUT_BYTES) gate.post(number, bytes.subarray(at, at + INPUT_BYTES))
    }
  }

  /** Puts the gate before a keyboard or a mouse. */
  input(which: 'keyboard' | 'mouse', backend: InputBackend): InputBackend {
    return gatedInput(this.gate, which, backend)
  }

  /** Puts the gate before a button. @returns presses it, and resolves when that has entered the machine */
  button(press: () => boolean | Promise<boolean>): () => Promise<boolean> {
    const presses: ((listens: boolean | Promise<boolean>) => void)[] = []
    const number = this.gate.party('power button', () => {
      const listens = press()
      presses.shift()?.(listens)
    })
    return () =>
      new Promise((resolve) => {
        presses.push(resolve)
        this.gate.post(number, new Uint8Array())
      })
  }
}
