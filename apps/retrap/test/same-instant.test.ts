/**
 * An example: a machine is booted once, and each test begins with a machine at that same instant. What one test does to its
 * machine, no other sees. Use it as it is for a system of yours.
 */
import { buildGuestImage } from '@retrap/embedded-guest'
import { createPc, type Pc, type PcOptions, type PcSnapshot } from '@retrap/machine'
import { withLong } from '@retrap/tooling/long'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'

const PROMPT = 'retrap> '
const DEADLINE_MS = 60_000
/** How many machines begin there, and how many clones. */
const COUNT = withLong([10], [40]).reduce((sum, count) => sum + count)
const options: PcOptions = { memoryBytes: 64 << 20, jit: true, codeCacheBytes: 4 << 20, firmware: buildGuestImage() }

/** A running machine, and what it prints. */
class Session {
  readonly #pc: Pc
  #printed = ''
  #prompted: (() => void) | undefined

  constructor(pc: Pc) {
    this.#pc = pc
    pc.serial.onTransmit((bytes) => {
      this.#printed += Buffer.from(bytes).toString('latin1')
      if (this.#printed.endsWith(PROMPT)) this.#prompted?.()
    })
    void pc.run({ timeoutMs: DEADLINE_MS })
  }

  /** Waits for a prompt. @returns what was printed before it */
  async prompt(): Promise<string> {
    if (!this.#printed.endsWith(PROMPT)) await new Promise<void>((resolve) => (this.#prompted = resolve))
    const printed = this.#printed.slice(0, -PROMPT.length)
    this.#printed = ''
    return printed
  }

  /** Types a command. */
  type(line: string): void {
    this.#pc.serial.receive(new TextEncoder().encode(`${line}\n`))
  }

  /** Types a command. @returns what it prints, behind its echo */
  async command(line: string): Promise<string> {
    this.type(line)
    const printed = await this.prompt()
    return printed.replaceAll('\r', '').replace(`${line}\n`, '')
  }
}

let instant: PcSnapshot
/** The machine at its first prompt, which clones go on from. */
let booted: Pc
const made: Pc[] = []
afterEach(() => made.splice(0).forEach((pc) => pc.close()))

beforeAll(async () => {
  booted = await createPc({ ...options, forks: { clones: 2, writtenBytes: 8 << 20 } })
  await new Session(booted).prompt()
  instant = await booted.save()
}, DEADLINE_MS)

afterAll(() => booted.close())

/** A machine at its first prompt. */
async function atPrompt(): Promise<Session> {
  const pc = await createPc({ ...options, snapshot: instant })
  made.push(pc)
  return new Session(pc)
}

test.each(Array.from({ length: COUNT }, (_, i) => i))('test %i begins where all others do', async (i) => {
  const session = await atPrompt()
  expect(await session.command(`echo this is ${i}`)).toBe(`this is ${i}\n`)
  // It ends this machine, and no other.
  if (i % 2 === 0) session.type('fault')
})

/** A clone of the machine at its first prompt: the quicker way, in the same process. */
async function clonedAtPrompt(): Promise<Session> {
  const pc = await booted.fork()
  made.push(pc)
  return new Session(pc)
}

test.each(Array.from({ length: COUNT }, (_, i) => i))('clone %i begins where all others do', async (i) => {
  const session = await clonedAtPrompt()
  expect(await session.command(`echo this is ${i}`)).toBe(`this is ${i}\n`)
  if (i % 2 === 0) session.type('fault')
})
