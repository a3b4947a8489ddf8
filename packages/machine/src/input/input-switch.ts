import type { InputBackend, InputClient, InputEvent } from '@retrap/device'

type Leds = Parameters<NonNullable<InputBackend['setLeds']>>[0]
type PointerKind = Parameters<NonNullable<InputBackend['setPointer']>>[0]

/** One model of several that share a back end. */
interface Member {
  client: InputClient | null
  pointer: PointerKind
  leds: Leds | null
  /** For a model outside of a recording: its member of the switch outside. */
  readonly outside?: InputBackend | undefined
}

const FIRST_BUTTON_KEY = 0x1_0000

/** The reaction of a machine to events, besides handing them to a model. */
interface InputEffects {
  /** Wakes the domain, which may wait for room for input. */
  readonly wake?: () => void
  /** Called before keys are offered that go down. */
  readonly pressed?: () => unknown
}

/**
 * Lets several models share a keyboard or a mouse: the board's own, and models that are plugged in. Events go to the
 * model that the guest has begun to use last, and otherwise to the board's. Keys that are down at a change are
 * released at the old model.
 */
export class InputSwitch implements InputClient {
  readonly #backend: InputBackend
  readonly #effects: InputEffects
  readonly #outside: InputSwitch | undefined
  readonly #members: Member[] = []
  /** The model that events go to while the guest uses none: the board's. */
  #usual: Member | null = null
  /** Devices in the order in which the guest began to use them, without the board's. */
  #active: Member[] = []
  #target: Member | null = null
  /** Pressed keys, and pressed buttons after them. */
  readonly #held = new Set<number>()

  /** @param outside - the switch for input that is not recorded, over the same back end */
  constructor(backend: InputBackend, effects: InputEffects = {}, outside?: InputSwitch) {
    this.#backend = backend
    this.#effects = effects
    this.#outside = outside
  }

  /** A back end for a model whose actions are recorded: its input does not come through the gate. */
  joinOutside(): InputBackend {
    if (this.#outside === undefined) return this.join()
    const outside = this.#outside.join()
    // Saved states know each member by its number, so this one has one, too.
    this.#add(outside)
    return outside
  }

  /** A back end for one more model; the first is for the board's. */
  join(): InputBackend {
    const member = this.#add()
    this.#usual ??= member
    return {
      connect: (client) => {
        member.client = client
        this.#choose()
        if (this.#usual === member) this.#backend.connect(this)
      },
      ready: () => {
        if (this.#target === member) this.#backend.ready()
      },
      setActive: (active) => {
        this.#active = this.#active.filter((one) => one !== member)
        if (active) this.#active.push(member)
        this.#choose()
        if (active || this.#active.length === 0) this.#backend.setActive?.(active)
      },
      setPointer: (kind) => {
        member.pointer = kind
        if (this.#target === member) this.#backend.setPointer?.(kind)
      },
      setLeds: (leds) => {
        member.leds = leds
        if (this.#target === member) this.#backend.setLeds?.(leds)
      },
    }
  }

  #add(outside?: InputBackend): Member {
    const member: Member = { client: null, pointer: 'none', leds: null, outside }
    this.#members.push(member)
    return member
  }

  /** Returns the numbers of the models that the guest uses, in the order in which it began to. */
  save(): readonly number[] {
    return this.#active.map((member) => this.#members.indexOf(member))
  }

  /** Restores the keys that `save` returned. */
  restore(active: readonly number[]): void {
    const members = active.flatMap((number) => this.#members[number] ?? [])
    this.#active = members.filter(({ outside }) => !outside)
    this.#choose()
    this.#backend.setActive?.(this.#active.length > 0)
    for (const { outside } of members) outside?.setActive?.(true)
  }

  #choose(): void {
    const target = this.#active.at(-1) ?? this.#usual
    if (target === this.#target) return
    const releases = [...this.#held].map((held): InputEvent => {
      const isButton = held >= FIRST_BUTTON_KEY
      return isButton
        ? { kind: 'button', button: held - FIRST_BUTTON_KEY, down: false }
        : { kind: 'key', usage: held, down: false }
    })
    if (releases.length > 0) this.#target?.client?.input(releases)
    this.#held.clear()
    this.#target = target
    if (target === null) return
    this.#backend.setPointer?.(target.pointer)
    if (target.leds !== null) this.#backend.setLeds?.(target.leds)
    this.#backend.ready()
  }

  /** Events on their way to the model that they go to: the back end gives them to its next client. */
  get unread(): readonly InputEvent[] {
    return this.#target?.client?.unread ?? []
  }

  /** Takes events of the back end. */
  input(events: readonly InputEvent[]): number {
    const { wake, pressed } = this.#effects
    if (pressed !== undefined && events.some((event) => event.kind === 'key' && event.down)) pressed()
    const taken = this.#target?.client?.input(events) ?? 0
    if (taken > 0) wake?.()
    for (const event of events.slice(0, taken)) {
      if (event.kind !== 'key' && event.kind !== 'button') continue
      const held = event.kind === 'key' ? event.usage : FIRST_BUTTON_KEY + event.button
      if (event.down) this.#held.add(held)
      else this.#held.delete(held)
    }
    return taken
  }
}

/** A machine's switches. */
export interface InputSwitches {
  readonly keyboard: InputSwitch
  readonly mouse: InputSwitch
}

/** The models that a guest uses, by number in the order of their places, the one that it has begun to use last at the end. */
export interface UsedInputs {
  /** Numbers of the keyboards; the board's own is no. 0 of a PC. */
  readonly keyboard: readonly number[]
  /** Numbers of the mice and tablets, likewise. */
  readonly mouse: readonly number[]
}

/** Returns the devices that receive a machine's input, for its saved state: models only know whether they are active. */
export function saveInputs({ keyboard, mouse }: InputSwitches): UsedInputs {
  return { keyboard: keyboard.save(), mouse: mouse.save() }
}

/** Directs input to the saved devices, after the models are restored. @param used - undefined in a snapshot without input switches */
export function restoreInputs({ keyboard, mouse }: InputSwitches, used: UsedInputs | undefined): void {
  if (used === undefined) return
  keyboard.restore(used.keyboard)
  mouse.restore(used.mouse)
}
