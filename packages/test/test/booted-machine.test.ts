/** Machines that are booted once, with a small guest: what each test gets of them. */
import { MemoryStorage, RawImage } from '@retrap/block'
import { defineDevice } from '@retrap/device'
import type { PcOptions } from '@retrap/machine'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BootedMachine, type PcBootedOptions, printable } from '../src/index.ts'
import { countingFirmware, DEVICE_PORT } from './support/counting-guest.ts'

const pc: PcOptions = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, firmware: countingFirmware() }
const options: PcBootedOptions = { pc, ready: '> ', bootTimeoutMs: 60_000 }

let recorded: BootedMachine
let reset: BootedMachine
beforeAll(async () => {
  recorded = await BootedMachine.pc(options)
  reset = await BootedMachine.pc({ ...options, record: false })
})
afterAll(() => [recorded, reset].forEach((booted) => booted.close()))

describe.each([
  ['recorded clones', () => recorded],
  ['a machine that is put back', () => reset],
])('tests with %s', (_, booted) => {
  test('begin at one instant, whatever those before have done', async () => {
    await booted().run(async (machine) => {
      expect(machine.printed).toBe('')
      expect(await machine.command('one')).toBe('1\n')
      expect(await machine.command('')).toBe('2\n')
      machine.type('!')
      expect(await machine.end()).toMatchObject({ reason: 'triple-fault' })
    })
    await booted().run(async (machine) => {
      expect(machine.printed).toBe('')
      expect(await machine.command('again')).toBe('1\n')
    })
  })

  test('execute the same, instruction by instruction, if they do the same', async () => {
    const runs: [text: string, instructions: number][] = []
    for (let i = 0; i < 3; i++)
      await booted().run(async (run) => {
        const { machine } = run
        const before = machine.statistics().instructions
        await run.command('help')
        // The host does other things meanwhile.
        await new Promise((resolve) => setTimeout(resolve, 5 * i))
        await run.command('more')
        runs.push([run.printed, machine.statistics().instructions - before])
      })
    expect(runs[1]).toEqual(runs[0])
    expect(runs[2]).toEqual(runs[0])
  })

  test('end with the machine', async () => {
    await booted().run(async (machine) => {
      machine.type('last\nq')
      expect(await machine.end()).toMatchObject({ reason: 'power-off' })
      expect(machine.exit).toMatchObject({ reason: 'power-off' })
      expect(await machine.end()).toBe(machine.exit)
      await expect(machine.until('late')).rejects.toMatchObject({
        code: 'ERR_ENDED',
        message: 'the machine has ended (power-off) before "late" has come; the guest has printed since:\nlast\n1\n>',
      })
    })
    await booted().run(async (machine) => expect(await machine.command('on')).toBe('1\n'))
  })

  test('end with the machine while they wait', async () => {
    await booted().run(async (machine) => {
      machine.type('!')
      await expect(machine.command('late')).rejects.toMatchObject({
        code: 'ERR_ENDED',
        message: expect.stringMatching(/has ended \(triple-fault: vCPU 0 shut down after a triple fault\) before "> "/),
      })
    })
  })
})

describe('a wait', () => {
  test('reads what was printed before, once', async () => {
    await recorded.run(async (machine) => {
      machine.type('ab\nc\n')
      expect(await machine.until(/^2$/)).toBe('ab\n1\n> c\n2')
      expect(await machine.until('> ')).toBe('\n> ')
      machine.type('bib\n')
      expect(await machine.until('b')).toBe('b')
      expect(await machine.until(/[b]/g)).toBe('ib')
      expect(await machine.until('b\n3'.slice(1))).toBe('\n3')
    })
  })

  test('has a limit, and the machine can be used on', async () => {
    await recorded.run(async (machine) => {
      await expect(machine.until('nothing', { timeoutMs: 50 })).rejects.toMatchObject({
        code: 'ERR_TIMEOUT',
        message: '"nothing" has not come within 50 ms; the guest has printed nothing since',
      })
      expect(await machine.command('on')).toBe('1\n')
      for (const timeoutMs of [0, NaN, 2 ** 31])
        await expect(machine.until('x', { timeoutMs })).rejects.toMatchObject({ code: 'ERR_OPTION' })
      await expect(machine.until('')).rejects.toMatchObject({ code: 'ERR_OPTION' })
    })
  })

  test('shows no control characters of the guest, which would reach a terminal', async () => {
    await recorded.run(async (machine) => {
      machine.type('\x1b[2Jé\t\u202e\n')
      await expect(machine.until('nothing', { timeoutMs: 2000 })).rejects.toMatchObject({
        message: expect.stringMatching(/printed since:\n\\x1b\[2Jé\t\\u202e\n1\n>$/),
      })
    })
    expect(printable('a\x00\x7f\x9b\u2028b\n')).toBe('a\\x00\\u007f\\u009b\\u2028b\n')
  })

  test('is one at a time', async () => {
    await recorded.run(async (machine) => {
      const first = machine.until('x')
      await expect(machine.until('y')).rejects.toMatchObject({ code: 'ERR_STATE' })
      machine.type('x')
      expect(await first).toBe('x')
    })
  })

  test('ends with the test', async () => {
    const { test: machine, begun } = await recorded.begin()
    const waiting = machine.until('nothing').catch((error: unknown) => error)
    await machine.over()
    begun.end()
    expect(await waiting).toMatchObject({ code: 'ERR_STATE' })
    await expect(machine.end()).rejects.toMatchObject({ code: 'ERR_STATE' })
  })

  test('may be for something that needs a running machine, beside others', async () => {
    await recorded.run(async (machine) => {
      const typed = machine.during(() => machine.command('inner').then((text) => `<${text}>`))
      expect(await typed).toBe('<1\n>')
      await expect(machine.during(() => Promise.reject(new Error('mine')))).rejects.toThrow('mine')
      const long = machine.during(() => new Promise(() => {}), { timeoutMs: 100 }).catch((error: unknown) => error)
      expect(await machine.command('outer')).toBe('2\n')
      expect(await long).toMatchObject({ code: 'ERR_TIMEOUT' })
    })
  })

  test('for a prompt needs one', async () => {
    const booted = await BootedMachine.pc({ ...options, record: false, ready: (machine) => machine.until('> ') })
    await booted.run(async (machine) =>
      expect(machine.command('x')).rejects.toMatchObject({ code: 'ERR_OPTION', message: /has no prompt/ }),
    )
    booted.close()
  })
})

describe('what a machine has decides how tests begin', () => {
  test('models of the test are made for each', async () => {
    const made: number[] = []
    const model = (deterministic: boolean) => () => {
      const number = made.push(0) - 1
      const read = (): number => ++made[number]!
      return {
        devices: [
          defineDevice({
            name: 'counter',
            stateless: true,
            deterministic,
            ports: { base: DEVICE_PORT, size: 1 },
            read,
          }),
        ],
      }
    }
    for (const deterministic of [true, false]) {
      made.length = 0
      const fork = model(deterministic)
      const booted = await BootedMachine.pc({ ...options, pc: () => ({ ...pc, ...fork() }), fork })
      if (deterministic) expect(booted.notRecorded).toBeUndefined()
      else expect(booted.notRecorded).toMatch(/models of a snapshot begins at a checkpoint/)
      for (const first of deterministic ? ['1', '1'] : ['1', '2'])
        await booted.run(async (machine) => {
          machine.type('d')
          expect(await machine.until(/./)).toBe(first)
        })
      booted.close()
    }
  })

  test('a boot that goes wrong says what was printed', async () => {
    await expect(BootedMachine.pc({ ...options, ready: 'login: ', bootTimeoutMs: 100 })).rejects.toMatchObject({
      code: 'ERR_TIMEOUT',
      message: /^"login: " has not come within 100 ms; the guest has printed/,
    })
    const off = BootedMachine.pc({
      ...options,
      ready: async (machine) => {
        await machine.until('> ')
        machine.type('q')
        await machine.end()
      },
    })
    await expect(off).rejects.toMatchObject({ code: 'ERR_ENDED', message: /while it was booted: power-off/ })
  })

  test('a disk that a test would write: none where the machine is put back', async () => {
    const medium = new RawImage(new MemoryStorage(new Uint8Array(1 << 16)))
    const withDisk = { ...options, pc: { ...pc, drives: [{ medium }] } }
    await expect(BootedMachine.pc({ ...withDisk, record: false })).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: /a disk would keep what a test writes/,
    })
    const booted = await BootedMachine.pc(withDisk)
    expect(booted.notRecorded).toBeUndefined()
    booted.close()
  })
})
