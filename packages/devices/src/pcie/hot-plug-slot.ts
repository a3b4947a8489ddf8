import {
  type DeviceContext,
  DeviceError,
  type PciFunction,
  type PciSlot,
  type PciSlotEvents,
  Stateful,
  type Timer,
} from '@retrap/device'

/* Registers, from the beginning of the capability. */
const LINK_STATUS = 0x12
export const SLOT_CONTROL = 0x18
const SLOT_STATUS = 0x1a

const LINK_ACTIVE = 1 << 13

/* Slot capabilities. */
const HAS_ATTENTION_BUTTON = 1 << 0
const HAS_POWER_CONTROLLER = 1 << 1
const HAS_ATTENTION_INDICATOR = 1 << 3
const HAS_POWER_INDICATOR = 1 << 4
const MAY_SURPRISE = 1 << 5
const HOT_PLUGS = 1 << 6
/** The capabilities of a slot with hot plug: as QEMU's, without its electromechanical interlock. */
export const HOT_PLUG_CAPABILITIES: number =
  HAS_ATTENTION_BUTTON | HAS_POWER_CONTROLLER | HAS_ATTENTION_INDICATOR | HAS_POWER_INDICATOR | MAY_SURPRISE | HOT_PLUGS

/* Slot control. The enable bits of events but the last are where slot status has the events. */
const INTERRUPT_ENABLE = 1 << 5
const ATTENTION_OFF = 3 << 6
const POWER_INDICATOR = 3 << 8
const POWER_INDICATOR_ON = 1 << 8
const POWER_INDICATOR_BLINKS = 2 << 8
const POWER_INDICATOR_OFF = 3 << 8
const POWER_OFF = 1 << 10
const LINK_CHANGED_ENABLE = 1 << 12

/* Slot status. */
const BUTTON_PRESSED = 1 << 0
const PRESENCE_CHANGED = 1 << 3
const COMMAND_COMPLETED = 1 << 4
const PRESENT = 1 << 6
const LINK_CHANGED = 1 << 8
const EVENTS = BUTTON_PRESSED | PRESENCE_CHANGED | COMMAND_COMPLETED

/** The bits of slot control that the guest may write. */
export const SLOT_CONTROL_WRITABLE: number =
  EVENTS | INTERRUPT_ENABLE | ATTENTION_OFF | POWER_INDICATOR | POWER_OFF | LINK_CHANGED_ENABLE
/** The bits of slot status that the guest clears by writing 1. */
export const SLOT_STATUS_CLEARABLE: number = EVENTS | LINK_CHANGED

/** Nanoseconds until the command that takes a device's power completes, if nothing is in flight. */
const POWER_OFF_NS = 1000
/** Nanoseconds from the power indicator's going out to the attention button's press, for a device that came before it. */
const ANNOUNCE_NS = 1e9

/**
 * The slot of a port: its registers and an interrupt notify the guest of devices that come and go, and the guest takes and
 * gives power.
 *
 * A device that comes is announced by presence and by the attention button, which Linux waits for, once the power indicator is
 * out. A removal that the user asks for is announced by the button alone. The device leaves when the guest has taken its power
 * and put the power indicator out: also without such a request, as QEMU's does, once the guest has given it power. Linux takes
 * the power of a device that was pulled when another one is there already.
 *
 * Source: PCI Express Base Specification 3.0, §6.7, "PCI Express Hot-Plug Support", and §7.8.9 to §7.8.11.
 */
export class HotPlugSlot extends Stateful implements PciSlotEvents {
  readonly #name: string
  readonly #hotPlugs: boolean
  #pci!: PciFunction
  #slot!: PciSlot
  #registers!: DataView
  /** Completes the command that took the device's power. */
  #completion!: Timer
  /** Presses the button for a device that came too soon. */
  #announcement!: Timer
  /** The guest's last value of slot control. */
  #control = 0
  /** The registers are saved with configuration space. */
  readonly #r = this.keeps({
    /** Whether the guest was asked to release the device. */
    requested: false,
    /** The button has not announced the present device to the guest. */
    unannounced: false,
  })
  /** The guest has given power to the present device, with the indicator on. */
  #isKnown = false
  /** The guest gives up the present device. */
  #ejected = false
  /** Whether the model is quiesced and not yet resumed. */
  #rests = false
  /** Resolves when the unpowered device has no work in flight. */
  #ending: Promise<void> | null = null
  #interrupts = false

  constructor(name: string, hotPlugs: boolean) {
    super()
    this.#name = name
    this.#hotPlugs = hotPlugs
  }

  /** @param at - offset of the capability */
  attach(context: Pick<DeviceContext, 'timer'>, pci: PciFunction, at: number): void {
    const { buffer, byteOffset } = pci.config
    this.#pci = pci
    this.#slot = pci.slot!
    this.#registers = new DataView(buffer, byteOffset + at)
    this.#completion = context.timer(() => this.#ending?.then(() => this.#ended()))
    this.#announcement = context.timer(() => this.#announce())
    this.reset()
  }

  get #status(): number {
    return this.#registers.getUint16(SLOT_STATUS, true)
  }

  set #status(bits: number) {
    this.#registers.setUint16(SLOT_STATUS, bits, true)
  }

  /** State at power-on: a device has power. */
  override reset(): void {
    const { occupied } = this.#slot
    // The guest that was asked for the device is gone: the device leaves. One at rest is put back to a state that has it.
    const leaves = this.#r.requested && occupied && !this.#rests
    this.#completion.cancel()
    this.#announcement.cancel()
    super.reset()
    this.#ejected = false
    this.#ending = null
    this.#interrupts = false
    const hasPower = occupied && !leaves
    this.#isKnown = hasPower
    const control = ATTENTION_OFF | (hasPower ? POWER_INDICATOR_ON : POWER_INDICATOR_OFF | POWER_OFF)
    this.#control = this.#hotPlugs ? control : 0
    this.#registers.setUint16(SLOT_CONTROL, this.#control, true)
    if (hasPower) this.#slot.connect()
    this.#setLink(hasPower)
    this.#status = occupied ? PRESENT : 0
    this.#pci.interrupt?.set(false)
    if (leaves) this.#slot.release()
  }

  // ---- The device ----

  inserted(hot: boolean): void {
    if (!hot) return this.reset()
    if (!this.#hotPlugs)
      throw new DeviceError('ERR_PERMISSION', `${this.#name}: nothing is plugged here while the machine runs`)
    this.#status |= PRESENT | PRESENCE_CHANGED
    if (!this.#isOff) this.#powerOn()
    else if (this.#isPermitted) this.#status |= BUTTON_PRESSED
    else this.#r.unannounced = true
    this.#follow()
  }

  /**
   * Presses the button for a device that came while the guest was still busy with the one before, as people do who wait for
   * the indicator. Linux may have found it by itself then, and would take a press for a request.
   */
  #announce(): void {
    if (!this.#r.unannounced) return
    this.#r.unannounced = false
    this.#status |= BUTTON_PRESSED
    this.#follow()
  }

  requested(): void {
    if (!this.#hotPlugs)
      throw new DeviceError('ERR_PERMISSION', `${this.#name}: nothing is unplugged here while the machine runs`)
    const before = this.#r.requested
    this.#r.requested = true
    if (this.#isOff) return this.#giveUp()
    // While it blinks the guest waits whether the button is pressed again, which would withdraw the request.
    if (before && (this.#control & POWER_INDICATOR) === POWER_INDICATOR_BLINKS) return
    this.#status |= BUTTON_PRESSED
    this.#follow()
  }

  removed(): void {
    this.#r.requested = false
    this.#isKnown = false
    this.#ejected = false
    this.#r.unannounced = false
    this.#setLink(false)
    this.#status = (this.#status & ~PRESENT) | PRESENCE_CHANGED
    this.#follow()
  }

  // ---- Registers ----

  get #isOff(): boolean {
    return (this.#control & POWER_OFF) !== 0
  }

  #setLink(isUp: boolean): void {
    const before = this.#registers.getUint16(LINK_STATUS, true)
    const now = isUp ? before | LINK_ACTIVE : before & ~LINK_ACTIVE
    if (now === before) return
    this.#registers.setUint16(LINK_STATUS, now, true)
    this.#status |= LINK_CHANGED
  }

  #powerOn(): void {
    this.#slot.connect()
    this.#setLink(true)
  }

  /**
   * The guest has written configuration space.
   *
   * @param isCommand - the write reached slot control
   */
  written(isCommand: boolean): void {
    if (!this.#hotPlugs) return
    if (isCommand) this.#command()
    this.#follow()
  }

  /** Any write to slot control is a command (§6.7.3.2, "Command Completed Events"). */
  #command(): void {
    const wasOff = this.#isOff
    const wasPermitted = this.#isPermitted
    this.#control = this.#registers.getUint16(SLOT_CONTROL, true)
    if (this.#isPermitted && !wasPermitted) this.#ejected = this.#isKnown
    this.#isKnown ||= this.#isOn && this.#slot.occupied
    this.#ejected &&= this.#isPermitted
    if (!this.#isOff) this.#r.unannounced = false
    if (this.#r.unannounced && this.#isPermitted) this.#announcement.armAfter(ANNOUNCE_NS)
    if (this.#isOff && !wasOff && this.#slot.occupied) {
      this.#setLink(false)
      this.#ending = this.#slot.disconnect()
      this.#completion.armAfter(POWER_OFF_NS)
    } else if (wasOff && !this.#isOff && this.#slot.occupied && this.#ending === null) this.#powerOn()
    // Later, where the guest does not wait for the end of the command before.
    if (this.#ending !== null) return
    this.#status |= COMMAND_COMPLETED
    this.#giveUp()
  }

  /** The device without power is at rest: the command may complete. */
  #ended(): void {
    if (this.#ending === null) return
    this.#ending = null
    this.#completion.cancel()
    if (!this.#isOff && this.#slot.occupied) this.#powerOn()
    this.#status |= COMMAND_COMPLETED
    this.#follow()
    this.#giveUp()
  }

  /** Lets a device go whose power the guest has taken: with its indicator off, removal is permitted (§6.7.1.1.2). */
  #giveUp(): void {
    const permitted = this.#ending === null && this.#isPermitted
    if (permitted && (this.#r.requested || this.#ejected) && this.#slot.occupied) this.#slot.release()
  }

  get #isOn(): boolean {
    return !this.#isOff && (this.#control & POWER_INDICATOR) === POWER_INDICATOR_ON
  }

  /** Whether a device may come and go: without power, and with the indicator out. */
  get #isPermitted(): boolean {
    return this.#isOff && (this.#control & POWER_INDICATOR) === POWER_INDICATOR_OFF
  }

  get #isPending(): boolean {
    const status = this.#status
    if ((this.#control & INTERRUPT_ENABLE) === 0) return false
    const linkChanged = (this.#control & LINK_CHANGED_ENABLE) !== 0 && (status & LINK_CHANGED) !== 0
    return linkChanged || (this.#control & status & EVENTS) !== 0
  }

  /** A message goes out when the first of several events comes, the pin stays up for all (§6.7.3.4). */
  #follow(): void {
    const before = this.#interrupts
    const { interrupt, messages } = this.#pci
    this.#interrupts = this.#isPending
    const byMessage = messages !== null && messages.mode !== 'none'
    interrupt?.set(this.#interrupts && !byMessage)
    if (byMessage && this.#interrupts && !before) messages.signal(0)
  }

  // ---- State ----

  /** Completes the command in progress. */
  async quiesce(): Promise<void> {
    this.#rests = true
    await this.#ending
    this.#ended()
  }

  /** Whether no command is under way, and the device was announced to the guest. */
  get isAtRest(): boolean {
    return this.#ending === null && !this.#r.unannounced && this.#completion.deadlineNs === Infinity
  }

  /** Releases a removed device, and reports a new one. */
  resume(): void {
    this.#rests = false
    this.#giveUp()
    if (this.#r.unannounced && this.#isPermitted) this.#announcement.armAfter(ANNOUNCE_NS)
  }

  /** Takes over a saved state. The caller has restored the registers. */
  override restore(state: unknown): void {
    super.restore(state)
    this.#completion.cancel()
    this.#announcement.cancel()
    this.#ending = null
    this.#ejected = false
    this.#control = this.#registers.getUint16(SLOT_CONTROL, true)
    this.#isKnown = this.#isOn && this.#slot.occupied
    this.#interrupts = this.#isPending
  }
}
