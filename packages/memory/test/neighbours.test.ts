import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterEach, expect, test, vi } from 'vitest'
import { FRAME_OWNER, MachineMemory, type Neighbour, Neighbours } from '../src/index.ts'
import { RequestRing, ringWords } from '../src/neighbours/request-ring.ts'

const FRAME = 0x300
const ASKED = 0x7fff_ffff
const ROUNDS = 1_000_000
const POSTS = 10_000

interface Member {
  readonly memory: MachineMemory
  readonly neighbours: Neighbours
  readonly self: Neighbour
  /** Machine address of the word that asks for attention. */
  readonly attention: number
  readonly log: string[]
  /** Called for each duty. */
  onDuty?: () => void
}

/** Threads, each with a view of its own, and the domain's; all on this thread. */
function makeMembers(count: number): { domain: MachineMemory; neighbours: Neighbours; members: Member[] } {
  const domain = MachineMemory.create({ bytes: 8 << 20, shared: true })
  const neighbours = Neighbours.allocate(domain)
  const members = Array.from({ length: count }, (_, number) => {
    const memory = MachineMemory.attach(domain.memory)
    const log: string[] = []
    const attention = domain.allocate(4, 4, 'attention')
    const note = (text: string) => (log.push(text), member.onDuty?.())
    const all = new Neighbours(memory, neighbours.at)
    const self = all.join(number, attention, ASKED, {
      dropWritable: (ma) => note(`drop ${ma / 4096}`),
      dropTranslations: () => note('drop all'),
      codeWritten: (frame, first, last) => note(`written ${frame} ${first}-${last}`),
      allCodeWritten: () => note('all written'),
    })
    const member: Member = { memory, neighbours: all, self, attention, log }
    return member
  })
  return { domain, neighbours, members }
}

const thread = (body: string, workerData: object): Worker => {
  const source = `
    import { parentPort, workerData } from 'node:worker_threads'
    import { MachineMemory, Neighbours } from ${JSON.stringify(import.meta.resolve('../src/index.ts'))}
    const memory = MachineMemory.attach(workerData.memory)
    const { words } = workerData
    const { i32, frameBits } = memory
    ${body}
    parentPort.postMessage('done')`
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData })
}
const waitFor = async (memory: MachineMemory, word: number, value: number): Promise<void> => {
  while (Atomics.load(memory.i32, word) !== value) await new Promise((resolve) => setImmediate(resolve))
}

let worker: Worker | undefined
afterEach(() => worker?.terminate())

test('a write is told to the owners of the frame, but for who made it', () => {
  const { domain, members } = makeMembers(3)
  const [first, second, third] = members as [Member, Member, Member]
  for (const { self } of [first, second]) self.hold(FRAME)
  expect(domain.codeBits[FRAME]).toBe(2 * FRAME_OWNER)
  domain.writeU32(FRAME * 4096 + 8, 1)
  second.memory.noteStore(FRAME * 4096 + 4094, 2)
  expect(members.map(({ attention }) => domain.readU32(attention))).toEqual([ASKED, ASKED, 0])
  for (const { self } of members) self.drain()
  const byDomain = `written ${FRAME} 8-11`
  expect([first.log, second.log, third.log]).toEqual([[byDomain, `written ${FRAME} 4094-4095`], [byDomain], []])
  first.self.release(FRAME)
  domain.writeU32(FRAME * 4096 + 8, 2)
  expect(members.map(({ self }) => self.isAsked)).toEqual([false, true, false])
  second.self.release(FRAME)
  expect(domain.codeBits[FRAME]).toBe(0)
  // Another thread has its number from now on.
  second.neighbours.part(second.self)
  const again = first.neighbours.join(1, second.attention, ASKED, {} as never)
  again.hold(FRAME)
  second.memory.noteWrite(FRAME * 4096, 1)
  expect(again.isAsked).toBe(true)
})

test('who may have write entries is asked to drop them, once, and who waits for that is woken', () => {
  const { members } = makeMembers(3)
  const [first, second, third] = members as [Member, Member, Member]
  first.self.noteWriter(FRAME)
  second.self.noteWriter(FRAME)
  const notify = vi.spyOn(Atomics, 'notify')
  const woken = (): number => new Set(notify.mock.calls.splice(0).map(([, word]) => word)).size
  // Nobody executes: it does not wait.
  first.self.hold(FRAME)
  expect(woken()).toBe(1)
  third.self.hold(FRAME)
  expect(members.map(({ self }) => self.isAsked)).toEqual([true, true, false])
  woken()
  second.self.enter()
  expect([second.log, woken()]).toEqual([[`drop ${FRAME}`, `drop ${FRAME}`], 2])
  notify.mockRestore()
  second.self.leave()
  third.self.release(FRAME)
  third.self.hold(FRAME)
  expect(second.self.isAsked).toBe(false)
  third.self.release(FRAME)
  second.self.noteWriter(FRAME)
  third.self.hold(FRAME)
  expect(second.self.isAsked).toBe(true)
})

test('where a ring is full everything is done that could be asked, and then it is a ring again', () => {
  const { domain, members } = makeMembers(2)
  const [first, second] = members as [Member, Member]
  for (let i = 0; i < 3; i++) {
    first.self.hold(FRAME)
    for (let n = 0; n < 300; n++) domain.noteWrite(FRAME * 4096 + n, 1)
    first.self.drain()
    first.self.release(FRAME)
    for (let n = 0; n < 70; n++) second.self.noteWriter(FRAME + n)
    for (let n = 0; n < 70; n++) first.self.hold(FRAME + n)
    second.self.drain()
    for (let n = 0; n < 70; n++) first.self.release(FRAME + n)
    expect([first.log.length, first.log.at(255), first.log.at(256)]).toEqual([
      257,
      `written ${FRAME} 255-255`,
      'all written',
    ])
    expect([second.log.length, second.log.at(63), second.log.at(64)]).toEqual([65, `drop ${FRAME + 63}`, 'drop all'])
    first.log.length = second.log.length = 0
  }
})

test('what is asked while a thread serves others is served next', () => {
  const { domain, members } = makeMembers(1)
  const [{ self, log }] = members as [Member]
  self.hold(FRAME)
  domain.noteWrite(FRAME * 4096, 1)
  members[0]!.onDuty = () => void (log.length === 1 && neighboursAsk())
  const neighboursAsk = (): void => void members[0]!.neighbours.dropAll()
  self.drain()
  expect([log.length, self.isAsked]).toEqual([2, true])
})

test('an epoch has come when nobody executes that has not dropped its translations', () => {
  const { neighbours, members } = makeMembers(2)
  const [first, second] = members as [Member, Member]
  first.self.enter()
  const epoch = neighbours.dropAll()
  const seen: boolean[] = []
  for (const member of members) member.onDuty = () => seen.push(neighbours.haveDropped(epoch))
  const acknowledged = first.memory.i32[neighbours.acknowledgedWord]!
  expect(neighbours.haveDropped(epoch)).toBe(false)
  first.self.drain()
  expect([neighbours.haveDropped(epoch), first.memory.i32[neighbours.acknowledgedWord]]).toEqual([
    true,
    acknowledged + 1,
  ])
  // It has slept meanwhile, and drops them before it executes.
  second.self.enter()
  expect([first.log, second.log, seen]).toEqual([['drop all'], ['drop all'], [false, false]])
  const next = neighbours.dropAll()
  first.self.leave()
  expect([neighbours.haveDropped(next), neighbours.haveDropped(epoch)]).toEqual([false, true])
  neighbours.lost(1)
  expect(neighbours.haveDropped(next)).toBe(true)
  expect(() => neighbours.join(31, 0, 0, {} as never)).toThrow('expected 0 to 30')
})

test('a thread that decodes waits for others to drop their entries, serves theirs meanwhile, and nothing else', async () => {
  const { domain, members } = makeMembers(1)
  const [{ self, log, neighbours, memory }] = members as [Member]
  const words = domain.allocate(64, 64, 'words') >>> 2
  worker = thread(
    `
    const member = new Neighbours(memory, workerData.at).join(1, 4 * words, 1, {
      dropWritable() {
        Atomics.wait(i32, words, i32[words], 20)
        // The owner has been there before it asked.
        Atomics.store(i32, words + 2, memory.codeBits[${FRAME}])
      },
      dropTranslations() {}, codeWritten() {}, allCodeWritten() {},
    })
    member.noteWriter(${FRAME})
    member.enter()
    memory.noteWrite(${FRAME + 2} * 4096, 1)
    Atomics.store(i32, words + 1, 1)
    // Each waits for the other.
    member.hold(${FRAME + 1})
    while (i32[words + 2] === 0) member.drain()`,
    { memory: domain.memory, at: neighbours.at, words },
  )
  self.hold(FRAME + 2)
  self.noteWriter(FRAME + 1)
  self.enter()
  await waitFor(domain, words + 1, 1)
  self.hold(FRAME)
  expect([memory.i32[words + 2], log]).toEqual([FRAME_OWNER, [`drop ${FRAME + 1}`]])
  self.drain()
  expect(log.at(-1)).toBe(`written ${FRAME + 2} 0-0`)
  await once(worker, 'message')
})

test('no request and no owner is lost where several threads make them at a time', { timeout: 60_000 }, async () => {
  const { domain, members } = makeMembers(1)
  const [{ self, log }] = members as [Member]
  const words = domain.allocate(64, 64, 'words') >>> 2
  self.hold(FRAME)
  const makers = [1, 2].map((number) =>
    thread(
      `
      new Neighbours(memory, workerData.at)
      Atomics.add(i32, words, 1)
      while (Atomics.load(i32, words) < 2);
      for (let i = 0; i < ${ROUNDS}; i++) {
        frameBits.addOwner(${FRAME})
        frameBits.set(${FRAME}, workerData.number)
        frameBits.removeOwner(${FRAME})
        frameBits.clear(${FRAME}, workerData.number)
      }
      Atomics.add(i32, words + 3, 1)
      for (let i = 0; i < ${POSTS}; i++) {
        memory.neighbours.tell(${FRAME}, i & 0xfff, workerData.number)
        if (i % 100 === 0) Atomics.wait(i32, words + 2, 0, 0.1)
      }
      Atomics.add(i32, words + 1, 1)`,
      { memory: domain.memory, at: members[0]!.neighbours.at, words, number },
    ),
  )
  const ended = Promise.all(makers.map((one) => once(one, 'message')))
  await waitFor(domain, words, 2)
  while (Atomics.load(domain.i32, words + 3) < 2) {
    domain.frameBits.addOwner(FRAME)
    domain.frameBits.removeOwner(FRAME)
  }
  /** By thread, after a round of this one: the number of its next request, and the round of the last one. */
  const next = [0, 0, 0]
  const seen = [0, 0, 0]
  let [lastLost, wrong, served] = [-1, 0, 0]
  const isNext = (number: number, value: number, round: number): void => {
    // One that has not come was lost since the one before.
    if (((value - next[number]!) & 0xfff) !== 0 && lastLost < seen[number]!) wrong++
    next[number] = value + 1
    seen[number] = round
  }
  let round = 1
  for (let isLast = false; !isLast; round++) {
    isLast = Atomics.load(domain.i32, words + 1) === 2
    self.drain()
    if (log.at(-1) === 'all written') lastLost = round
    for (const text of log.splice(0)) {
      const [, value, number] = /(\d+)-(\d+)/.exec(text)?.map(Number) ?? []
      if (number === undefined) continue
      served++
      isNext(number, value!, round)
    }
  }
  for (const number of [1, 2]) isNext(number, POSTS, round)
  expect([wrong, domain.codeBits[FRAME]]).toEqual([0, FRAME_OWNER])
  await ended
})

test('a request whose place is passed by, as it was not written in time, takes another one', () => {
  const memory = MachineMemory.create({ bytes: 1 << 20, shared: true })
  const ring = new RequestRing(memory, memory.allocate(4 * ringWords(4), 8, 'ring') >>> 2, 4)
  const exchange = vi.spyOn(memory, 'compareExchangeEntry')
  for (let i = 1; i < 20; i++) {
    exchange.mockImplementationOnce((...entry) => {
      expect(ring.look()).toBe(false)
      return memory.compareExchangeEntry(...entry)
    })
    const ticket = ring.post(i, -i)
    expect([ring.isServed(ticket), ring.look(), [...ring.words]]).toEqual([false, true, [i, -i >>> 0]])
    ring.served()
    expect([ring.isServed(ticket), ring.look(), ring.lost]).toEqual([true, false, undefined])
  }
})
