import { turn } from '@retrap/device/test-machine'
import { describe, expect, test, vi } from 'vitest'
import { VirtioPci } from '../src/index.ts'
import { bytesOfName, MemoryShare, type ShareNode, Virtio9p } from '../src/p9.ts'
import { LIMITS } from '../src/devices/p9/fids.ts'
import { MessageReader, MessageWriter } from '../src/devices/p9/messages.ts'
import { P9Session } from '../src/devices/p9/session.ts'
import { NEEDS_RESET, PciDriver } from './support/pci-driver.ts'
import { SplitDriver } from './support/ring-drivers.ts'
import { VirtioMachine } from './support/virtio-machine.ts'

const PLACE = { size: 16, descriptors: 0x1000, driver: 0x2000, device: 0x3000, eventIndex: false }
const REQUEST = 0x1_0000
const ANSWER = 0x4_0000
const ANSWER_BYTES = 0x2_0000
const MESSAGE_BYTES = 0x1_0000
const ROOT = 0

/** Errors, as the protocol has them: Linux's numbers. */
const E = { NOENT: 2, BADF: 9, EXIST: 17, INVAL: 22, NFILE: 23, ROFS: 30, LOOP: 40, PROTO: 71, STALE: 116 }
const UNKNOWN = 95

/** A driver that mounts a share, and sends one request at a time. */
class Driver {
  readonly share = new MemoryShare()
  readonly model: VirtioPci
  readonly machine: VirtioMachine
  readonly driver: PciDriver
  ring!: SplitDriver

  constructor(readOnly = false) {
    const device = new Virtio9p({ share: this.share, tag: 'host', readOnly })
    this.model = new VirtioPci(device, { device: 3 })
    this.machine = new VirtioMachine(this.model)
    this.driver = new PciDriver(this.machine)
    this.restart()
  }

  restart(): void {
    this.machine.ram.fill(0, 0x1000, 0x4000)
    expect(this.driver.negotiate([32, 0])).toBe(true)
    this.driver.setQueue(0, PLACE)
    this.driver.start()
    this.ring = new SplitDriver(this.machine.view, PLACE)
  }

  /** Takes the device's right to reach memory away for the next request, until the host has done it. */
  loseRight = false

  async raw(message: Uint8Array): Promise<Uint8Array> {
    this.machine.ram.set(message, REQUEST)
    this.ring.add(
      [
        { gpa: REQUEST, length: message.length, write: false },
        { gpa: ANSWER, length: ANSWER_BYTES, write: true },
      ],
      1,
    )
    this.ring.publish()
    this.driver.notify(0)
    if (this.loseRight) {
      this.loseRight = false
      this.machine.fn!.configWrite(4, 2, 3)
      for (let i = 0; i < 20; i++, this.machine.advance(100_000)) await turn()
      expect(this.ring.reap()).toEqual([])
      this.machine.fn!.configWrite(4, 2, 7)
      this.driver.notify(0)
    }
    for (let i = 0; i < 500; i++) {
      await turn()
      this.machine.advance(100_000)
      const [done] = this.ring.reap()
      if (done !== undefined) return this.machine.ram.slice(ANSWER, ANSWER + done.written)
      if ((this.driver.status & NEEDS_RESET) !== 0) break
    }
    return new Uint8Array(0)
  }

  /** @returns the answer's fields, or the number of an error */
  async ask(type: number, fields: (writer: MessageWriter) => unknown): Promise<MessageReader | number> {
    const writer = new MessageWriter()
    fields(writer)
    const answer = await this.raw(writer.finish(type, 77))
    const view = new DataView(answer.buffer)
    expect([view.getUint32(0, true), view.getUint16(5, true)]).toEqual([answer.length, type === 100 ? 0xffff : 77])
    const reader = new MessageReader(answer)
    if (answer[4] === 7) return reader.u32()
    expect(answer[4]).toBe(type + 1)
    return reader
  }

  async reads(type: number, fields: (writer: MessageWriter) => unknown): Promise<MessageReader> {
    const answer = await this.ask(type, fields)
    if (typeof answer === 'number') throw new Error(`request ${type}: error ${answer}`)
    return answer
  }

  async mount(): Promise<this> {
    const version = await this.reads(100, (w) => w.u32(MESSAGE_BYTES).text('9P2000.L'))
    expect([version.u32(), version.text()]).toEqual([MESSAGE_BYTES, '9P2000.L'])
    await this.reads(104, (w) => w.u32(ROOT).u32(0xffff_ffff).text('root').text('').u32(0xffff_ffff))
    return this
  }

  walk(from: number, to: number, ...names: readonly string[]): Promise<MessageReader | number> {
    return this.ask(110, (w) => {
      w.u32(from).u32(to).u16(names.length)
      for (const name of names) w.text(name)
    })
  }

  open(fid: number, flags = 0): Promise<MessageReader | number> {
    return this.ask(12, (w) => w.u32(fid).u32(flags))
  }

  create(fid: number, name: string, flags = 2): Promise<MessageReader | number> {
    return this.ask(14, (w) => w.u32(fid).text(name).u32(flags).u32(0o644).u32(0))
  }

  async read(fid: number, offset: number, count: number): Promise<string | number> {
    const answer = await this.ask(116, (w) => w.u32(fid).u64(offset).u32(count))
    return typeof answer === 'number' ? answer : String.fromCharCode(...answer.bytes(answer.u32()))
  }

  write(fid: number, offset: number, text: string): Promise<MessageReader | number> {
    return this.ask(118, (w) => w.u32(fid).u64(offset).u32(text.length).bytes(new TextEncoder().encode(text)))
  }

  clunk(fid: number): Promise<MessageReader | number> {
    return this.ask(120, (w) => w.u32(fid))
  }

  async names(fid: number, room = 4096): Promise<readonly string[]> {
    const names: string[] = []
    for (let offset = 0n; ;) {
      const at = offset
      const answer = await this.reads(40, (w) => w.u32(fid).u64(at).u32(room))
      let left = answer.u32()
      if (left === 0) return names
      while (left > 0) {
        answer.bytes(13)
        offset = answer.u64()
        answer.u8()
        const name = answer.text()
        names.push(name)
        left -= 24 + name.length
      }
    }
  }
}

const start = (readOnly = false): Promise<Driver> => new Driver(readOnly).mount()

/** A driver at the server itself, which has other limits. */
class NearDriver extends Driver {
  readonly #session: P9Session

  constructor(limits: Partial<typeof LIMITS>) {
    super()
    this.#session = new P9Session(this.share, false, { ...LIMITS, ...limits })
  }

  override async raw(message: Uint8Array): Promise<Uint8Array> {
    return this.#session.answer(message, () => true)
  }
}

describe('a mounted share', () => {
  test('a request whose answer could not be written is not made once more', async () => {
    const driver = await start()
    driver.loseRight = true
    const made = await driver.ask(72, (w) => w.u32(ROOT).text('once').u32(0o755).u32(0))
    expect(typeof made).toBe('object')
    expect(await driver.ask(72, (w) => w.u32(ROOT).text('once').u32(0o755).u32(0))).toBe(E.EXIST)
  })

  test('has its tag in the configuration', () => {
    const { driver } = new Driver()
    expect([driver.config(0, 2), ...[2, 3, 4, 5].map((at) => driver.config(at, 1))]).toEqual([
      4,
      ...Buffer.from('host'),
    ])
  })

  test('appends to the end that a file has by now, wherever the driver takes it to be', async () => {
    const p9 = await start()
    p9.share.write('log', 'one')
    for (const fid of [1, 2]) {
      await p9.walk(ROOT, fid, 'log')
      await p9.open(fid, 0o2001)
    }
    await p9.write(1, 3, ' two')
    await p9.write(2, 3, ' three')
    await p9.walk(ROOT, 3)
    await p9.create(3, 'new', 0o2002)
    await p9.write(3, 0, 'a')
    await p9.write(3, 0, 'b')
    expect(['log', 'new'].map((name) => Buffer.from(p9.share.read(name)!).toString())).toEqual(['one two three', 'ab'])
  })

  test('makes files, directories and links, and lists them', async () => {
    const p9 = await start()
    await p9.reads(72, (w) => w.u32(ROOT).text('dir').u32(0o755).u32(0))
    await p9.walk(ROOT, 1, 'dir')
    await p9.create(1, 'file')
    await p9.write(1, 0, 'x')
    await p9.walk(ROOT, 2, 'dir')
    await p9.reads(16, (w) => w.u32(2).text('link').text('/etc/passwd').u32(0))
    await p9.walk(2, 3, 'link')
    expect((await p9.reads(22, (w) => w.u32(3))).text()).toBe('/etc/passwd')
    // A link is never followed, neither opened nor walked through.
    expect(await p9.open(3)).toBe(E.LOOP)
    expect(await p9.walk(2, 4, 'link', 'x')).not.toBeTypeOf('number')
    expect(await p9.clunk(4)).toBe(E.BADF)
    await p9.reads(70, (w) => w.u32(2).u32(1).text('other'))
    await p9.walk(2, 5)
    await p9.open(5)
    expect(await p9.names(5)).toEqual(['.', '..', 'file', 'link', 'other'])
    // Room for one entry at a time.
    expect(await p9.names(5, 30)).toEqual(['.', '..', 'file', 'link', 'other'])
  })

  test("a file with locks is the machine's until the last is unlocked, or the file is closed", async () => {
    const p9 = await start()
    const file = { read: () => 0, write: () => 0, sync() {}, close() {} }
    const [lock, unlock] = [vi.fn(() => true), vi.fn()]
    const opens = vi.spyOn(Object.getPrototypeOf(p9.share.root()) as ShareNode, 'open')
    opens.mockReturnValue({ ...file, lock, unlock })
    p9.share.write('file', '')
    for (const fid of [1, 2]) {
      await p9.walk(ROOT, fid, 'file')
      await p9.open(fid, 2)
    }
    // Another machine has it at first. Fid, type (read, write, unlock), start, length, process.
    lock.mockReturnValueOnce(false)
    const [blocked, granted] = [1, 0]
    for (const [[fid, type, start, length, process], answer, calls] of [
      [[1, 1, 0, 5, 7], blocked, [1, 0]],
      [[1, 1, 0, 5, 7], granted, [2, 0]],
      [[2, 0, 8, 1, 8], granted, [2, 0]],
      // Of another process, and of another range.
      [[1, 2, 0, 0, 9], granted, [2, 0]],
      [[1, 2, 1, 1, 7], granted, [2, 0]],
      [[1, 2, 0, 5, 7], granted, [2, 0]],
      // The whole file, as a process has it that closes it.
      [[2, 2, 0, 0, 8], granted, [2, 1]],
      [[2, 1, 0, 0, 8], granted, [3, 1]],
    ] as const) {
      const told = await p9.reads(52, (w) => w.u32(fid).u8(type).u32(0).u64(start).u64(length).u32(process).text('vm'))
      expect([told.u8(), [lock, unlock].map((one) => one.mock.calls.length)]).toEqual([answer, calls])
    }
    await p9.clunk(2)
    expect(unlock).toHaveBeenCalledTimes(1)
    await p9.clunk(1)
    expect(unlock).toHaveBeenCalledTimes(2)
    opens.mockRestore()
  })

  test('a renamed file has its new name for all who use it', async () => {
    const p9 = await start()
    p9.share.write('from/file', 'content')
    p9.share.write('to/other', '')
    await p9.walk(ROOT, 1, 'from')
    await p9.walk(ROOT, 2, 'to')
    await p9.walk(1, 3, 'file')
    await p9.reads(74, (w) => w.u32(1).text('file').u32(2).text('new'))
    expect(Buffer.from(p9.share.read('to/new')!).toString()).toBe('content')
    // Remove takes it by its name.
    await p9.reads(122, (w) => w.u32(3))
    expect(p9.share.read('to/new')).toBeNull()
  })

  test('a name that the host has given to another entry puts no directory below itself', async () => {
    const p9 = await start()
    p9.share.write('a/x/file', '')
    await p9.walk(ROOT, 1, 'a')
    await p9.walk(1, 2, 'x')
    const root = p9.share.root()
    const a = await root.child('a')
    await a.rename('x', root, 'y')
    await a.makeDirectory('x', 0o755)
    await p9.reads(74, (w) => w.u32(1).text('x').u32(2).text('z'))
    await p9.model.quiesce(1000)
    const other = await start()
    other.model.restore(structuredClone(p9.model.save()))
    expect(await (await root.child('y')).list()).toEqual(['file', 'z'])
  })

  test('names keep every byte, whether they are UTF-8 or not', async () => {
    const p9 = await start()
    const make = (...name: readonly number[]): Promise<MessageReader | number> =>
      p9.ask(72, (w) => w.u32(ROOT).u16(name.length).bytes(Uint8Array.from(name)).u32(0o755).u32(0))
    // The first has a byte order mark, and the last three are a lone byte of é, a surrogate, and a byte too many.
    const names = [
      [0xef, 0xbb, 0xbf, 0x61],
      [0x61],
      [0x61, 0xff],
      [0x61, 0xfe],
      [0xc3, 0xa9, 0xc3],
      [0xed, 0xb2, 0x80],
      [0xf0, 0x9f, 0x98, 0x80, 0x80],
    ]
    for (const name of names) expect(await make(...name)).not.toBeTypeOf('number')
    const listed = await p9.share.root().list()
    expect(listed.map((name) => [...bytesOfName(name)])).toEqual(names)
  })

  test('names of open directories take no more of the host than they may', async () => {
    const p9 = await new NearDriver({ listed: 500 }).mount()
    for (let i = 0; i < 50; i++) p9.share.write(`${i}`, '')
    const opened: unknown[] = []
    const list = (fid: number): Promise<unknown> => p9.ask(40, (w) => w.u32(fid).u64(0).u32(4096))
    for (let fid = 1; fid <= 12; fid++) {
      await p9.walk(ROOT, fid)
      await p9.open(fid)
      opened.push(await list(fid))
    }
    expect(opened.map((answer) => answer === E.NFILE)).toEqual([...Array.from({ length: 10 }, () => false), true, true])
    await p9.clunk(1)
    expect(await list(11)).not.toBeTypeOf('number')
  })

  test('.. of the root is the root, and of others the directory that they were found in', async () => {
    const p9 = await start()
    p9.share.write('a/b', '')
    p9.share.write('top', 'at the top')
    await p9.walk(ROOT, 1, 'a', '..', '..', '..', 'top')
    await p9.open(1)
    expect(await p9.read(1, 0, 100)).toBe('at the top')
  })

  test('tells attributes, and sets them', async () => {
    const p9 = await start()
    p9.share.write('file', 'twelve bytes')
    await p9.walk(ROOT, 1, 'file')
    // Mode, size, and a time of modification: a second and a half before 1970.
    const numbers = (w: MessageWriter): MessageWriter => w.u32(1).u32(0x129).u32(0o600).u32(0).u32(0).u64(6)
    await p9.reads(26, (w) => numbers(w).u64(0).u64(0).u64(-2n).u64(500_000_000n))
    expect((await (await p9.share.root().child('file')).stat()).modifiedNs).toBe(-1_500_000_000n)
    const got = await p9.reads(24, (w) => w.u32(1).u64(0x7ff))
    expect(got.u64()).toBe(0x7ffn)
    got.bytes(13)
    expect([got.u32(), got.u32(), got.u32(), got.u64(), got.u64(), got.u64()]).toEqual([0o100600, 0, 0, 1n, 0n, 6n])
    // st_blksize, st_blocks of 512 bytes, the time of access.
    expect([got.u64(), got.u64()]).toEqual([4096n, 1n])
    got.bytes(16)
    expect([got.u64(), got.u64()]).toEqual([BigInt.asUintN(64, -2n), 500_000_000n])
    // The time of creation, the generation and the version of the data are not known (diod, "9P2000.L": they are reserved).
    got.bytes(16)
    expect([got.u64(), got.u64(), got.u64(), got.u64()]).toEqual([0n, 0n, 0n, 0n])
    const room = await p9.reads(8, (w) => w.u32(1))
    expect([room.u32(), room.u32(), room.u64()]).toEqual([0x0102_1997, 4096, 16384n])
  })

  test('what a user makes is that of the user, and of the group of the request', async () => {
    const p9 = await start()
    await p9.reads(104, (w) => w.u32(50).u32(0xffff_ffff).text('').text('').u32(1000))
    const owners = async (): Promise<readonly unknown[]> => {
      const root = p9.share.root()
      const stats = (await root.list()).map(async (name) => (await root.child(name)).stat())
      return (await Promise.all(stats)).map(({ uid, gid, mode }) => [uid, gid, mode])
    }
    await p9.walk(50, 51)
    await p9.reads(14, (w) => w.u32(51).text('file').u32(1).u32(0o4755).u32(7))
    await p9.reads(72, (w) => w.u32(50).text('dir').u32(0o2755).u32(8))
    await p9.reads(16, (w) => w.u32(50).text('link').text('x').u32(9))
    await p9.reads(18, (w) => w.u32(50).text('node').u32(0o100640).u32(0).u32(0).u32(10))
    expect(await p9.ask(18, (w) => w.u32(50).text('pipe').u32(0o10640).u32(0).u32(0).u32(10))).toBe(UNKNOWN)
    // A user who is not known leaves it to the share, here root.
    await p9.reads(72, (w) => w.u32(ROOT).text('other').u32(0o755).u32(0))
    expect(await owners()).toEqual([
      [1000, 7, 0o104755],
      [1000, 8, 0o42755],
      [1000, 9, 0o120777],
      [1000, 10, 0o100640],
      [0, 0, 0o40755],
    ])
    await p9.model.quiesce(1000)
    p9.model.restore(structuredClone(p9.model.save()))
    p9.model.resume()
    await p9.reads(72, (w) => w.u32(50).text('new').u32(0o755).u32(11))
    expect((await owners()).at(-1)).toEqual([1000, 11, 0o40755])
  })

  test('sets those attributes alone that a request names, whichever they are', async () => {
    const p9 = await start()
    const changes: unknown[] = []
    const root = p9.share.root()
    vi.spyOn(Object.getPrototypeOf(root) as { change(changes: unknown): Promise<void> }, 'change').mockImplementation(
      async (given) => void changes.push(given),
    )
    const times = (w: MessageWriter): unknown => w.u64(7).u64(8).u64(9).u64(10)
    for (let valid = 0; valid < 0x200; valid++) {
      await p9.reads(26, (w) => times(w.u32(ROOT).u32(valid).u32(0o107777).u32(1001).u32(1002).u64(12)))
      const has = (bit: number): boolean => (valid & bit) !== 0
      // Bits as in Linux's `P9_ATTR_*`.
      expect([valid, changes.pop()]).toEqual([
        valid,
        {
          ...(has(1) && { mode: 0o7777 }),
          ...(has(2) && { uid: 1001 }),
          ...(has(4) && { gid: 1002 }),
          ...(has(8) && { size: 12 }),
          ...(has(0x10) && { accessedNs: has(0x80) ? 7_000_000_008n : 'now' }),
          ...(has(0x20) && { modifiedNs: has(0x100) ? 9_000_000_010n : 'now' }),
        },
      ])
    }
    vi.restoreAllMocks()
  })

  test.each([
    { why: 'a name that is a path', act: (p9: Driver) => p9.walk(ROOT, 1, 'a/b'), error: E.INVAL },
    { why: 'an empty name', act: (p9: Driver) => p9.walk(ROOT, 1, ''), error: E.INVAL },
    { why: 'a file named ..', act: (p9: Driver) => p9.create(ROOT, '..'), error: E.INVAL },
    { why: 'what is there, exclusively', act: (p9: Driver) => p9.create(ROOT, 'file', 0o300), error: E.EXIST },
    { why: 'a fid that is taken', act: (p9: Driver) => p9.walk(ROOT, ROOT + 0, 'nowhere'), error: E.NOENT },
    { why: 'a fid that is not there', act: (p9: Driver) => p9.open(99), error: E.BADF },
    { why: 'an unknown request', act: (p9: Driver) => p9.ask(98, () => {}), error: UNKNOWN },
    { why: 'a message that ends early', act: (p9: Driver) => p9.ask(12, (w) => w.u32(ROOT)), error: E.PROTO },
    {
      why: 'a directory moved into itself',
      act: async (p9: Driver) => {
        await p9.walk(ROOT, 1, 'dir')
        return p9.ask(74, (w) => w.u32(ROOT).text('dir').u32(1).text('in'))
      },
      error: E.INVAL,
    },
  ])('$why is refused', async ({ act, error }) => {
    const p9 = await start()
    p9.share.write('file', '')
    p9.share.write('dir/entry', '')
    expect(await act(p9)).toBe(error)
  })

  test('that is read only changes nothing', async () => {
    const p9 = await start(true)
    p9.share.write('file', 'as it is')
    await p9.walk(ROOT, 1, 'file')
    expect(await p9.open(1, 1)).toBe(E.ROFS)
    expect(await p9.open(1, 0o1000)).toBe(E.ROFS)
    expect(await p9.create(ROOT, 'new')).toBe(E.ROFS)
    expect(await p9.ask(122, (w) => w.u32(1))).toBe(E.ROFS)
    expect(await p9.ask(76, (w) => w.u32(ROOT).text('file').u32(0))).toBe(E.ROFS)
    expect(Buffer.from(p9.share.read('file')!).toString()).toBe('as it is')
  })

  test.each([
    { limits: { fids: 10 }, most: 9 },
    { limits: { open: 5 }, most: 5 },
  ])('of files with the limits $limits, $most are open and no more', async ({ limits, most }) => {
    const p9 = await new NearDriver(limits).mount()
    p9.share.write('file', '')
    const made: unknown[] = []
    for (let fid = 1; fid <= most + 1; fid++) {
      const walked = await p9.walk(ROOT, fid, 'file')
      made.push(typeof walked === 'number' ? walked : await p9.open(fid))
    }
    expect(made.map((answer) => answer === E.NFILE)).toEqual([...Array.from({ length: most }, () => false), true])
    await p9.clunk(1)
    expect(await p9.open(most + 1)).toSatisfy((answer) => typeof answer !== 'number' || answer === E.BADF)
  })

  test('holds few files, however many fids there are, and finds others where they are', async () => {
    const p9 = await new NearDriver({ held: 3 }).mount()
    for (let i = 1; i < 20; i++) p9.share.write(`dir/${i}`, `${i}`)
    const [root, dir] = [p9.share.root(), 99]
    const node = Object.getPrototypeOf(root) as ShareNode
    const [child, release] = [vi.spyOn(node, 'child'), vi.spyOn(node, 'release')]
    const stat = (fid: number): Promise<MessageReader | number> => p9.ask(24, (w) => w.u32(fid).u64(0x7ff))
    await p9.walk(ROOT, dir, 'dir')
    for (let i = 1; i < 20; i++) {
      await p9.walk(dir, i, `${i}`)
    }
    expect(child.mock.calls.length - release.mock.calls.length).toBeLessThanOrEqual(3)
    vi.restoreAllMocks()
    await p9.open(1)
    await p9.reads(74, (w) => w.u32(dir).text('2').u32(ROOT).text('moved'))
    await p9.reads(76, (w) => w.u32(dir).text('1').u32(0))
    const onHost = await root.child('dir')
    await onHost.remove('3', false)
    await onHost.remove('4', false)
    p9.share.write('dir/4', 'another file')
    const found: boolean[] = []
    for (let i = 1; i < 20; i++) {
      found.push((await stat(i)) !== E.STALE)
    }
    expect(found).toEqual(Array.from({ length: 19 }, (_, i) => i !== 2 && i !== 3))
    expect(await p9.read(1, 0, 9)).toBe('1')
    await p9.open(2)
    expect(await p9.read(2, 0, 9)).toBe('2')
  })
})

describe('a machine', () => {
  test.each([
    { why: 'shorter than its head', bytes: [6, 0, 0, 0, 100, 0] },
    { why: 'longer than the chain', bytes: [99, 0, 0, 0, 100, 0, 0] },
    { why: 'longer than any', bytes: [0, 0, 0, 0x80, 100, 0, 0] },
  ])('a message that is $why stops the device', async ({ bytes }) => {
    const p9 = await start()
    expect((await p9.raw(Uint8Array.from(bytes))).length).toBe(0)
    expect(p9.driver.status & NEEDS_RESET).toBe(NEEDS_RESET)
    p9.driver.status = 0
    p9.machine.advance(1000)
    for (let i = 0; i < 5; i++) {
      await turn()
    }
    expect(p9.driver.status).toBe(0)
    p9.restart()
    await p9.mount()
  })

  test('goes on elsewhere with the files that were in use', async () => {
    const p9 = await start()
    p9.share.write('dir/file', 'content')
    await p9.walk(ROOT, 1, 'dir', 'file')
    await p9.open(1)
    await p9.walk(ROOT, 2, 'dir')
    await p9.walk(2, 3, 'file')
    await p9.model.quiesce(1000)
    const other = await start()
    other.share.write('dir/file', 'CONTENT')
    other.model.restore(structuredClone(p9.model.save()))
    other.machine.ram.set(p9.machine.ram)
    other.ring = p9.ring
    other.ring.move(other.machine.view)
    other.model.resume()
    expect(await other.read(1, 0, 100)).toBe('CONTENT')
    await other.open(3)
    expect(await other.read(3, 4, 100)).toBe('ENT')
  })

  test('that is closed gives all files of its share back', async () => {
    const p9 = await start()
    p9.share.write('dir/file', 'content')
    const node = Object.getPrototypeOf(p9.share.root()) as ShareNode
    const [child, release] = [vi.spyOn(node, 'child'), vi.spyOn(node, 'release')]
    await p9.walk(ROOT, 1, 'dir', 'file')
    await p9.open(1)
    p9.model.removed()
    await turn()
    // The root, too, which was there before.
    expect(release.mock.calls.length - child.mock.calls.length).toBe(1)
    vi.restoreAllMocks()
  })

  test.each(['', 'x'.repeat(256)])('a tag of %j is refused', (tag) => {
    expect(() => new Virtio9p({ share: new MemoryShare(), tag })).toThrow('expected 1 to 255 bytes')
  })
})

test('files in memory take no more than they may, those without a name too', async () => {
  const share = new MemoryShare({ mostBytes: 1 << 20 })
  const root = share.root()
  const access = { read: true, write: true, truncate: false, exclusive: true, mode: 0o644 }
  const { node, file } = await root.create('a', access)
  await file.write(0, new Uint8Array(700_000))
  await root.remove('a', false)
  const other = await root.create('b', access)
  expect(() => other.file.write(0, new Uint8Array(700_000))).toThrow('ENOSPC')
  node.release()
  expect(await other.file.write(0, new Uint8Array(700_000))).toBe(700_000)
  expect(() => other.file.write(2 ** 40, new Uint8Array(1))).toThrow('ENOSPC')
})

test.each([
  { time: 'the host’s', realTime: true, atOnce: 1 },
  { time: 'deterministic', realTime: false, atOnce: 0 },
])('on $time time, $atOnce of one answer is there when the driver has notified', async ({ realTime, atOnce }) => {
  const p9 = new Driver()
  p9.machine.clock.realTime = realTime
  const version = new MessageWriter().u32(MESSAGE_BYTES).text('9P2000.L').finish(100, 77)
  const answer = p9.raw(version)
  expect(p9.ring.reap().length).toBe(atOnce)
  if (atOnce === 0) expect((await answer)[4]).toBe(101)
})

test('texts of links take room, which is given back, at instants of the share', async () => {
  const share = new MemoryShare({ mostBytes: 100, now: () => 7n })
  const root = share.root()
  await root.makeLink('a', 'x'.repeat(60))
  expect(await root.stat()).toMatchObject({ accessedNs: 7n, modifiedNs: 7n, changedNs: 7n })
  expect(() => root.makeLink('b', 'x'.repeat(60))).toThrow('ENOSPC')
  await root.remove('a', false)
  await root.makeLink('b', 'x'.repeat(60))
})
