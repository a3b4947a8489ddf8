/** Back ends whose inputs enter a machine by a gate: each by itself, with a gate that delivers when the test says so. */
import * as device from '@retrap/device'
import { beforeEach, describe, expect, test } from 'vitest'
import { type Input, InputGate } from '../src/recording/input-gate.ts'
import { gatedInput } from '../src/recording/back-end-gate.ts'
import { GatedMedium } from '../src/recording/gated-medium.ts'
import { factsOf, type FarNetwork } from '../src/back-ends/packets.ts'
import { gatedPackets } from '../src/recording/back-end-gate.ts'
import { GatedStream } from '../src/recording/gated-stream.ts'
import { medium } from './support/media.ts'

/** Keeps inputs until they are delivered. */
class Gate extends InputGate {
  readonly hasOutside: boolean = true
  readonly posted: (readonly [party: number, data: Uint8Array])[] = []
  readonly asked: string[] = []

  post(party: number, data: Input): void {
    if (typeof data !== 'function') this.posted.push([party, data])
  }

  /** Delivers what has been posted. */
  deliver(): void {
    for (const [party, data] of this.posted.splice(0)) this.parties[party]!(data)
  }

  async noted(): Promise<void> {}

  async ask(party: number, key: string, _into: Uint8Array | undefined, ask: () => Promise<number>): Promise<number> {
    this.asked.push(`${party}: ${key}`)
    return ask()
  }

  protected atRound(): null {
    return null
  }

  idle(): null {
    return null
  }
}

/** A gate of a replay: nobody is outside. */
class ReplayedGate extends Gate {
  override readonly hasOutside = false
}

let gate: Gate
beforeEach(() => {
  gate = new Gate()
})

describe('a stream of bytes', () => {
  const KIB = 1024
  /** The other end of the stream. */
  class Line implements device.ByteStreamBackend {
    client!: device.ByteStreamClient
    readonly sent: number[][] = []
    readonly told: unknown[] = []
    full = false
    connect(client: device.ByteStreamClient): void {
      this.client = client
    }
    send(bytes: Uint8Array): boolean {
      this.sent.push([...bytes])
      return !this.full
    }
    ready(): void {
      this.told.push('ready')
    }
    left(): void {
      this.sent.push([])
    }
    setBreak(on: boolean): void {
      this.told.push(on)
    }
    setModem(outputs: unknown): void {
      this.told.push(outputs)
    }
    setFormat(format: unknown): void {
      this.told.push(format)
    }
  }
  /** The model, which has room for some bytes. */
  class Model implements device.ByteStreamClient {
    room = Infinity
    readonly got: number[] = []
    readonly told: unknown[] = []
    receive(bytes: Uint8Array): number {
      const count = Math.min(bytes.length, this.room)
      this.room -= count
      this.got.push(...bytes.subarray(0, count))
      return count
    }
    drained(): void {
      this.told.push('drained')
    }
    breakReceived(): void {
      this.told.push('break')
    }
    ended(): void {
      this.told.push(`ended behind ${this.got.length}`)
    }
    modemChanged(inputs: device.ModemInputs): void {
      this.told.push(inputs)
    }
  }
  const connected = (on: Gate = gate): { line: Line; model: Model; stream: GatedStream } => {
    const [line, model] = [new Line(), new Model()]
    const stream = new GatedStream(on, 'console', line)
    stream.connect(model)
    return { line, model, stream }
  }

  test('enters by the gate, and what the model has no room for waits in order', () => {
    const { line, model, stream } = connected()
    model.room = 1
    expect(line.client.receive(Uint8Array.of(1, 2, 3))).toBe(3)
    expect(line.client.receive(Uint8Array.of(4, 5))).toBe(2)
    expect([gate.names, model.got]).toEqual([['console'], []])
    gate.deliver()
    expect(model.got).toEqual([1])
    model.room = 3
    stream.ready()
    expect(model.got).toEqual([1, 2, 3, 4])
    model.room = 0
    stream.ready()
    expect(line.told).toEqual(['ready', 'ready'])
    model.room = 9
    stream.ready()
    expect(model.got).toEqual([1, 2, 3, 4, 5])
    expect(line.told).toEqual(['ready', 'ready', 'ready'])
    stream.ready()
    expect(line.told).toHaveLength(3)
  })

  test('16 KiB may be on their way or wait, until the model takes some', () => {
    const { line, model, stream } = connected()
    model.room = 0
    expect(line.client.receive(new Uint8Array(10 * KIB))).toBe(10 * KIB)
    expect(line.client.receive(new Uint8Array(10 * KIB))).toBe(6 * KIB)
    expect(line.client.receive(Uint8Array.of(7))).toBe(0)
    expect(gate.posted).toHaveLength(2)
    gate.deliver()
    expect(line.client.receive(Uint8Array.of(7))).toBe(0)
    model.room = 1
    stream.ready()
    expect(line.client.receive(Uint8Array.of(7, 8))).toBe(1)
  })

  test('a model that asks for more as it takes some is given each byte once', () => {
    const { line, model, stream } = connected()
    const receive = model.receive.bind(model)
    model.receive = (bytes) => {
      const count = receive(bytes)
      stream.ready()
      return count
    }
    line.client.receive(Uint8Array.of(1, 2))
    line.client.receive(Uint8Array.of(3))
    gate.deliver()
    expect(model.got).toEqual([1, 2, 3])
  })

  test('breaks and modem inputs come between the bytes that they came between', () => {
    const { line, model } = connected()
    const inputs = (bits: number): device.ModemInputs => ({
      clearToSend: bits % 2 === 1,
      dataSetReady: (bits >> 1) % 2 === 1,
      ringIndicator: (bits >> 2) % 2 === 1,
      carrierDetect: (bits >> 3) % 2 === 1,
    })
    for (let bits = 0; bits < 16; bits++) line.client.modemChanged?.(inputs(bits))
    line.client.breakReceived?.()
    expect(model.told).toEqual([])
    gate.deliver()
    expect(model.told).toEqual([...Array.from({ length: 16 }, (_, bits) => inputs(bits)), 'break'])
    expect(model.got).toEqual([])
  })

  test('inputs have the form that recordings have', () => {
    const { line } = connected()
    line.client.receive(Uint8Array.of(7, 8))
    line.client.breakReceived?.()
    line.client.modemChanged?.({ clearToSend: false, dataSetReady: true, ringIndicator: false, carrierDetect: true })
    line.client.ended?.()
    expect(gate.posted.map(([, data]) => [...data])).toEqual([[0, 7, 8], [1], [2, 10], [3]])
  })

  test('takes all that the guest sends; what the line has no room for follows when it has', () => {
    const { line, stream } = connected()
    line.full = true
    expect([1, 2, 3].map((byte) => stream.send(Uint8Array.of(byte)))).toEqual([true, true, true])
    expect(line.sent).toEqual([[1]])
    line.full = false
    line.client.drained()
    expect(line.sent).toEqual([[1], [2], [3]])
    stream.send(Uint8Array.of(4))
    expect(line.sent).toEqual([[1], [2], [3], [4]])
  })

  test('16 MiB wait for a reader that stalls; what comes then is lost', () => {
    const { line, stream } = connected()
    // Lists of so many bytes would take seconds.
    const sent: number[] = []
    line.send = ({ length }) => {
      sent.push(length)
      return !line.full
    }
    line.full = true
    stream.send(Uint8Array.of(1))
    const half = 8 << 20
    for (const bytes of [half, half + 1, half, 1]) stream.send(new Uint8Array(bytes))
    line.full = false
    line.client.drained()
    expect(sent).toEqual([1, half, half])
    // All of the room is there again.
    line.full = true
    stream.send(Uint8Array.of(2))
    stream.send(new Uint8Array(2 * half))
    line.full = false
    line.client.drained()
    expect(sent.slice(3)).toEqual([1, 2 * half])
  })

  test('ends behind the bytes that wait, also where that is kept and put back', () => {
    const { line, model, stream } = connected()
    model.room = 1
    line.client.receive(Uint8Array.of(1, 2))
    line.client.ended?.()
    expect(model.told).toEqual([])
    gate.deliver()
    expect([model.got, model.told]).toEqual([[1], []])
    const other = new ReplayedGate()
    const there = new GatedStream(other, 'console', null)
    const next = new Model()
    there.connect(next)
    other.willRestore(gate.saveParties()!)
    other.restoreParties()
    for (const [one, to] of [
      [model, stream],
      [next, there],
    ] as const) {
      one.room = 9
      to.ready()
      to.ready()
      expect([one.got.at(-1), one.told]).toEqual([2, [`ended behind ${one.got.length}`]])
    }
  })

  test('the guest closes its end behind what the line has not taken, and may open it again', () => {
    const { line, stream } = connected()
    stream.left()
    line.full = true
    stream.send(Uint8Array.of(1))
    stream.send(Uint8Array.of(2))
    // A guest may go on with this.
    for (let i = 0; i < 3; i++) stream.left()
    stream.send(Uint8Array.of(3))
    stream.left()
    expect(line.sent).toEqual([[], [1]])
    line.full = false
    line.client.drained()
    expect(line.sent).toEqual([[], [1], [2], [], [3], []])
  })

  test('the line hears what the model does to it', () => {
    const { line, stream } = connected()
    stream.setBreak(true)
    stream.setModem({ dataTerminalReady: true, requestToSend: false } as never)
    stream.setFormat({ baud: 9600 } as never)
    expect(line.told).toEqual([true, { dataTerminalReady: true, requestToSend: false }, { baud: 9600 }])
  })

  test('what waits is kept and put back; nobody outside is needed', () => {
    const { line, model } = connected()
    model.room = 2
    line.client.receive(Uint8Array.of(1, 2, 3, 4))
    gate.deliver()
    const saved = gate.saveParties()!
    model.room = 9
    const other = new ReplayedGate()
    const stream = new GatedStream(other, 'console', null)
    const next = new Model()
    stream.connect(next)
    other.willRestore(saved)
    other.restoreParties()
    expect(next.got).toEqual([])
    stream.ready()
    expect(next.got).toEqual([3, 4])
    expect(stream.send(Uint8Array.of(1))).toBe(true)
  })

  test('what was saved stays as it was while the machine goes on', () => {
    const { line, model, stream } = connected()
    model.room = 0
    line.client.receive(Uint8Array.of(1, 2))
    gate.deliver()
    const saved = gate.saveParties()!
    model.room = 9
    stream.ready()
    expect(gate.saveParties()).toEqual([[]])
    expect(saved).toEqual([[Uint8Array.of(1, 2)]])
  })
})

describe('a network', () => {
  class Cable implements device.PacketBackend {
    client!: device.PacketClient
    linkUp = true
    readonly maximumBytes = 1514
    readonly macAddress = Uint8Array.of(2, 0, 0, 0, 0, 9)
    readonly sent: number[][] = []
    readonly filters: unknown[] = []
    readies = 0
    room = Infinity
    connect(client: device.PacketClient): void {
      this.client = client
    }
    send(frame: Uint8Array): boolean {
      if (this.room === 0) return false
      this.room--
      this.sent.push([...frame])
      return true
    }
    ready(): void {
      this.readies++
    }
    filter(addresses: unknown): void {
      this.filters.push(addresses)
    }
  }
  class Card implements device.PacketClient {
    room = Infinity
    readonly got: number[][] = []
    readonly links: boolean[] = []
    receive(frame: Uint8Array): boolean {
      if (this.room === 0) return false
      this.room--
      this.got.push([...frame])
      return true
    }
    drained(): void {
      throw new Error('the gate is never full')
    }
    linkChanged(up: boolean): void {
      this.links.push(up)
    }
  }
  const connected = (): { cable: Cable; card: Card; network: FarNetwork } => {
    const [cable, card] = [new Cable(), new Card()]
    const network = gatedPackets(gate, 'network 0', cable, factsOf(cable))
    network.connect(card)
    return { cable, card, network }
  }

  test('is what its facts say, with or without somebody outside', () => {
    const { cable, network } = connected()
    const facts = factsOf(cable)
    expect(facts).toEqual({ macAddress: [2, 0, 0, 0, 0, 9], maximumBytes: 1514, linkUp: true })
    const replayed = gatedPackets(new ReplayedGate(), 'n', null, { ...facts, linkUp: false, macAddress: null })
    expect([network.linkUp, network.maximumBytes, network.macAddress]).toEqual([true, 1514, cable.macAddress])
    expect([replayed.linkUp, replayed.maximumBytes, replayed.macAddress]).toEqual([false, 1514, undefined])
    const addresses = { promiscuous: true, unicast: new Uint8Array(6), multicast: [] }
    network.filter?.(addresses)
    expect(cable.filters).toEqual([addresses])
    replayed.filter?.(addresses)
    expect(replayed.send(Uint8Array.of(1))).toBe(true)
    expect(factsOf({ ...cable, macAddress: undefined } as never).macAddress).toBe(null)
  })

  test('frames enter by the gate, and wait for a card without room in order', () => {
    const { cable, card, network } = connected()
    card.room = 1
    for (const byte of [1, 2, 3]) expect(cable.client.receive(Uint8Array.of(byte, 0))).toBe(true)
    expect(card.got).toEqual([])
    gate.deliver()
    expect([card.got, cable.readies]).toEqual([[[1, 0]], 1])
    network.ready()
    expect(cable.readies).toBe(1)
    card.room = 9
    network.ready()
    expect([card.got.join(' '), cable.readies]).toEqual(['1,0 2,0 3,0', 2])
  })

  test('inputs have the form that recordings have', () => {
    const { cable } = connected()
    cable.client.receive(Uint8Array.of(7, 8))
    cable.client.linkChanged(false)
    cable.client.linkChanged(true)
    expect(gate.posted.map(([, data]) => [...data])).toEqual([
      [0, 7, 8],
      [1, 0],
      [1, 1],
    ])
  })

  test('1024 of the guest’s frames wait for a network without room, as they were', () => {
    const { cable, network } = connected()
    cable.room = 0
    const frame = new Uint8Array(2)
    for (let i = 0; i < 1030; i++) {
      frame.set([i & 0xff, i >> 8])
      expect(network.send(frame)).toBe(true)
    }
    // Room that nobody has told of: frames keep their order.
    cable.room = 1000
    network.send(frame)
    expect(cable.sent).toEqual([])
    cable.client.drained()
    expect(cable.sent).toHaveLength(1000)
    cable.room = 1000
    cable.client.drained()
    expect(cable.sent).toEqual(Array.from({ length: 1024 }, (_, i) => [i & 0xff, i >> 8]))
    network.send(Uint8Array.of(9))
    expect(cable.sent.at(-1)).toEqual([9])
  })

  test('what waits and the link are kept and put back', () => {
    const { cable, card } = connected()
    card.room = 0
    cable.client.receive(Uint8Array.of(5))
    cable.client.linkChanged(false)
    gate.deliver()
    const saved = gate.saveParties()!
    const again = new Gate()
    const [other, next] = [new Cable(), new Card()]
    const network = gatedPackets(again, 'network 0', other, factsOf(other))
    network.connect(next)
    again.willRestore(saved)
    again.restoreParties()
    expect([network.linkUp, next.got]).toEqual([false, []])
    for (let i = 0; i < 255; i++) expect(other.client.receive(Uint8Array.of(1))).toBe(true)
    expect(other.client.receive(Uint8Array.of(1))).toBe(false)
    network.ready()
    expect(next.got).toEqual([[5]])
  })
})

describe('a medium', () => {
  const image = (): Uint8Array => Uint8Array.from({ length: 1024 }, (_, i) => i & 0xff)

  test('is asked by keys that tell requests apart', async () => {
    const done = async (): Promise<void> => {}
    const drive = { ...medium(image()), write: done, discard: done, writeZeroes: done }
    const gated = new GatedMedium(gate, 'drive 0', drive, drive.properties, false)
    const into = new Uint8Array(512)
    await gated.read(512, into)
    expect(into).toEqual(image().subarray(512))
    await gated.write(0, into)
    await gated.flush()
    await gated.discard(512, 512)
    await gated.writeZeroes(0, 512)
    expect(gate.asked).toEqual([
      '0: read 512 512',
      '0: write 0 512',
      '0: flush',
      '0: discard 512 512',
      '0: zeroes 0 512',
    ])
    expect(gated.tray).toBeUndefined()
  })

  test.each(['ERR_RANGE', 'ERR_READ_ONLY', 'ERR_NO_SPACE', 'ERR_MEDIUM', 'ERR_NO_MEDIUM', 'ERR_CANCELLED'] as const)(
    'a failure keeps its kind: %s',
    async (code) => {
      const drive = medium(image())
      drive.read = (_offset, into) => {
        into.fill(1)
        return Promise.reject(new device.BlockError(code, 'why'))
      }
      const gated = new GatedMedium(gate, 'drive 0', drive, drive.properties, false)
      const into = new Uint8Array(512).fill(7)
      await expect(gated.read(0, into)).rejects.toMatchObject({ code, message: 'read 0 512: the medium failed' })
      expect(into).toEqual(new Uint8Array(512))
    },
  )

  test('another disc is in, and an ejection asked for, when that is delivered', () => {
    const drive = medium(image())
    const changed: (() => void)[] = []
    let properties: device.BlockProperties = drive.properties
    const moved: unknown[] = []
    let eject: (() => void) | undefined
    let refuses: ((properties: device.BlockProperties) => string | null) | undefined
    const removable = {
      ...drive,
      get properties() {
        return properties
      },
      onChange: (listener: () => void) => {
        changed.push(listener)
        return () => undefined
      },
      tray: {
        connect: (client: { ejectRequested(): void; refuses(properties: device.BlockProperties): string | null }) => {
          eject = () => client.ejectRequested()
          refuses = (given) => client.refuses(given)
        },
        moved: (state: unknown) => void moved.push(state),
      },
    }
    const gated = new GatedMedium(gate, 'drive 0', removable, properties, true)
    const told: string[] = []
    const forget = gated.onChange(() => void told.push(`changed to ${gated.properties.bytes}`))
    gated.tray?.connect({ ejectRequested: () => void told.push('eject'), refuses: () => 'no room' })
    properties = { ...properties, bytes: 4096, maximumBytes: Infinity }
    changed[0]?.()
    eject?.()
    expect([gated.properties.bytes, told]).toEqual([1024, []])
    gate.deliver()
    expect([gated.properties, told]).toEqual([properties, ['changed to 4096', 'eject']])
    expect(refuses?.(properties)).toBe('no room')
    gated.tray?.moved({ open: true, locked: false })
    expect(moved).toEqual([{ open: true, locked: false }])
    forget()
    changed[0]?.()
    gate.deliver()
    expect(told).toHaveLength(2)
  })

  test('a machine is made with the disc that was in', () => {
    const drive = medium(image())
    const gated = new GatedMedium(gate, 'drive 0', drive, drive.properties, false)
    const [saved] = gate.saveParties()!
    expect(saved).toEqual(gated.properties)
    const other = new ReplayedGate()
    other.willRestore([{ ...drive.properties, bytes: 2048 }])
    expect(new GatedMedium(other, 'drive 0', null, drive.properties, false).properties.bytes).toBe(2048)
    expect([other.canRestore([saved]), other.canRestore([{ ...drive.properties, bytes: 2048 }])]).toEqual([false, true])
  })
})

describe('a keyboard', () => {
  const press = (usage: number): device.InputEvent => ({ kind: 'key', usage, down: true })
  class Keys implements device.InputBackend {
    client!: device.InputClient
    readies = 0
    readonly told: unknown[] = []
    connect(client: device.InputClient): void {
      this.client = client
    }
    ready(): void {
      this.readies++
    }
    setLeds(leds: unknown): void {
      this.told.push(leds)
    }
    setPointer(kind: unknown): void {
      this.told.push(kind)
    }
  }

  test('has its events enter by the gate, and keeps those that the model has no room for', () => {
    const keys = new Keys()
    const gated = gatedInput(gate, 'keyboard', keys)
    const got: device.InputEvent[] = []
    let room = 1
    gated.connect({
      input(events) {
        const count = Math.min(room, events.length)
        room -= count
        got.push(...events.slice(0, count))
        return count
      },
    })
    expect(keys.client.input([press(4), press(5), press(6)])).toBe(3)
    expect(got).toEqual([])
    gate.deliver()
    expect([got, keys.readies]).toEqual([[press(4)], 1])
    expect(gate.saveParties()).toEqual([[press(5), press(6)]])
    room = 1
    gated.ready()
    expect([got, keys.readies]).toEqual([[press(4), press(5)], 2])
    gated.ready()
    expect(keys.readies).toBe(2)
    gate.willRestore([[press(9)]])
    gate.restoreParties()
    room = 9
    gated.ready()
    expect(got.at(-1)).toEqual(press(9))
  })

  test('64 events may be on their way', () => {
    const keys = new Keys()
    const gated = gatedInput(gate, 'keyboard', keys)
    gated.connect({ input: (events) => events.length })
    expect(keys.client.input(Array.from({ length: 65 }, (_, i) => press(i)))).toBe(64)
    expect(keys.client.input([press(1)])).toBe(0)
    expect(gate.posted).toHaveLength(1)
    gate.deliver()
    expect(keys.client.input([press(1)])).toBe(1)
  })

  test('its lamps and what it points at are told outside, and a replay has nobody to tell', () => {
    const keys = new Keys()
    const leds = { numLock: true, capsLock: false, scrollLock: false }
    const gated = gatedInput(gate, 'keyboard', keys)
    gated.setLeds?.(leds)
    gated.setPointer?.('absolute')
    expect(keys.told).toEqual([leds, 'absolute'])
    const unused = new Keys()
    gatedInput(new ReplayedGate(), 'keyboard', unused)
    expect(unused.client).toBeUndefined()
  })
})

describe('the gate', () => {
  const domain = (
    instructions: number,
  ): { instructions: number; stops: number; stop(): void; clock: object; spent: number } => ({
    instructions,
    clock: { now: () => 0 },
    spent: 0,
    stops: 0,
    stop() {
      this.stops++
    },
  })

  test('counts rounds in which something has happened', () => {
    gate.start(domain(0) as never)
    void gate.begin(true)
    void gate.begin(false)
    void gate.begin(true)
    expect(gate.round).toBe(2)
  })

  test('looks up every 16 rounds, where there is somebody to look', () => {
    gate.start(domain(0) as never)
    let looks = 0
    for (let i = 0; i < 20; i++) void gate.begin(true)
    gate.look = () => void looks++
    for (let i = 0; i < 15; i++) void gate.begin(false)
    expect(looks).toBe(0)
    void gate.begin(false)
    expect(looks).toBe(1)
    for (let i = 0; i < 32; i++) void gate.begin(false)
    expect(looks).toBe(3)
  })

  test.each([
    { limit: 100, limitRound: 0, instructions: 99, stops: 0 },
    { limit: 100, limitRound: 0, instructions: 100, stops: 1 },
    { limit: 100, limitRound: 3, instructions: 100, stops: 0 },
    { limit: 100, limitRound: 1, instructions: 100, stops: 1 },
    { limit: 100, limitRound: 3, instructions: 101, stops: 1 },
  ])('stops at $limit instructions in round $limitRound: $instructions, $stops', (given) => {
    const machine = domain(given.instructions)
    gate.start(machine as never)
    gate.limitTo({ instructions: given.limit, round: given.limitRound, ns: 0 })
    void gate.begin(true)
    expect(machine.stops).toBe(given.stops)
    expect([gate.budget(1000), machine.stops]).toEqual(given.stops > 0 ? [null, 2] : [1, 0])
  })

  test('a turn ends well before a limit, and the rest is executed one by one', () => {
    const machine = domain(0)
    gate.start(machine as never)
    expect([gate.budget(50_000), gate.alone]).toEqual([50_000, false])
    gate.limit = 100_000
    expect([gate.budget(50_000), gate.alone]).toEqual([50_000, false])
    machine.instructions = 60_000
    const most = gate.budget(50_000)!
    // A page of instructions may follow the budget.
    expect(most).toBeLessThanOrEqual(100_000 - 60_000 - 4096)
    expect([most > 30_000, gate.alone]).toEqual([true, false])
    machine.instructions += most
    expect([gate.budget(50_000), gate.alone]).toEqual([1, true])
    machine.instructions = 99_999
    expect([gate.budget(50_000), gate.alone, machine.stops]).toEqual([1, true, 0])
    // From there on a look in between finds each one counted.
    machine.instructions = 10_000
    gate.aloneFrom = 10_000
    expect([gate.budget(50_000), gate.alone, machine.stops]).toEqual([1, true, 0])
  })

  test('a machine that waits at its limit has reached it', () => {
    const machine = domain(100)
    gate.start(machine as never)
    gate.limit = 101
    gate.waits()
    expect(machine.stops).toBe(0)
    gate.limit = 100
    gate.waits()
    expect(machine.stops).toBe(1)
  })

  test('nothing is saved while a back end is asked', () => {
    class Asking extends Gate {
      set requests(count: number) {
        this.asking = count
      }
    }
    const asking = new Asking()
    asking.party('a', () => undefined)
    asking.party('b', () => undefined, { save: () => 5, restore: () => undefined })
    expect(asking.saveParties()).toEqual([null, 5])
    asking.requests = 1
    expect(asking.saveParties()).toBeUndefined()
  })

  test('parties that there were not then keep what they have', () => {
    const restored: unknown[] = []
    for (const name of ['a', 'b'])
      gate.party(name, () => undefined, { save: () => name, restore: (saved) => void restored.push([name, saved]) })
    gate.willRestore(['x'])
    gate.restoreParties()
    expect(restored).toEqual([['a', 'x']])
    expect([gate.savedOf(0), gate.savedOf(1)]).toEqual(['x', undefined])
  })
})
