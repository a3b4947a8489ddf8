/** Looking into a machine, making its devices slow, and stepping through it. */
import { noBrowser } from '@retrap/tooling/browser'
import type { PageServer } from '@retrap/tooling/page-server'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { loopingGuest } from './support/guests.ts'
import type { PcView } from '../src/index.ts'
import { type PageGlobals, Pages, POLICY } from './support/pages.ts'

if (noBrowser !== undefined) console.warn(`SKIPPED: the inspector of machines in pages: ${noBrowser}`)

describe.skipIf(noBrowser !== undefined)('the inspector of a machine in a page', () => {
  let pages: Pages
  let server: PageServer

  beforeAll(async () => {
    pages = await Pages.start()
    pages.files.set('looping.bin', loopingGuest())
    server = await pages.serve({ headers: { 'content-security-policy': POLICY } })
  })
  afterAll(() => pages?.close())
  afterEach(() => pages.closePages())

  test('a slow device holds the guest in the middle of an instruction, and changes nothing else', async () => {
    const page = await pages.open(server)
    const got = await page.evaluate(async () => {
      const { createMachine, guestImage, listen } = globalThis as unknown as PageGlobals
      const machine = await createMachine({ firmware: guestImage, memoryBytes: 16 << 20 })
      const until = listen(machine)
      const errors = await Promise.all(
        [machine.impairDevice('toaster', {}), machine.impairDevice('serial-3f8', { delayMs: -1 })].map((one) =>
          one.then(
            () => 'none',
            (error: Error) => error.message.replace(/ there are .*/, ''),
          ),
        ),
      )
      void machine.run().catch(() => {})
      await until('retrap> ')
      const before = await machine.inspect()
      await machine.impairDevice('serial-3f8', { delayMs: 200 })
      machine.write('echo exact\r')
      let slow = (await machine.inspect()) as PcView
      while (slow.vcpus[0]!.waitsFor === null) slow = (await machine.inspect()) as PcView
      const { waitsFor, log, activity, passes, reachedDevices, address } = slow.vcpus[0]!
      const { walk, gpa, frame } = await machine.inspectAddress(address)
      const way = {
        ...{ gpa, frame },
        steps: walk?.steps.map(({ level, leads }) => `${level} ${leads}`),
        cached: walk !== null && 'cached' in walk && walk.cached.map(({ level, agrees }) => `${level} ${agrees}`),
      }
      const nowhere = await machine.inspectAddress(0x7f00_0000_0000n)
      const instruction = { passes, reachedDevices, fault: nowhere.walk?.outcome.kind, nowhere: nowhere.frame }
      const device = slow.devices.find(({ name }) => name === 'serial-3f8')!
      await machine.impairDevice('serial-3f8', {})
      await until('\nexact')
      const after = (await machine.inspect()).devices.find(({ name }) => name === 'serial-3f8')!
      machine.dispose()
      // Registers and addresses are no JSON.
      const plain = JSON.parse(
        JSON.stringify(before, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)),
      ) as typeof before
      return { errors, before: plain, waitsFor, log, activity, device, after, way, instruction }
    })
    expect(got.errors).toEqual(["there is no device 'toaster';", 'a delay of -1 ms: expected 0 to 60000'])
    expect(got.before).toMatchObject({
      vcpus: [
        {
          ...{ mode: 64, idle: true, activity: 'halted', waitsFor: null, log: [] },
          // Paging and protection; PAE; LME and LMA; the bit of RFLAGS that is always 1, and IF, as it waits for a key.
          control: { cr0: expect.toSatisfy((cr0: number) => (cr0 & 0x8000_0001) >>> 0 === 0x8000_0001) as number },
          flags: expect.toSatisfy((flags: number) => (flags & 0x202) === 0x202) as number,
          segments: [{ name: 'ES' }, { name: 'CS', selector: expect.any(Number) as number, base: 0 }, {}, {}, {}, {}],
        },
      ],
      interrupts: {
        localApics: [{ requested: [] }],
        ioApic: [{ input: 4, vector: 0x40, masked: false, trigger: 'edge' }],
        pics: [{ mask: 0xff }, { mask: 0xff }],
      },
      map: { bytesByType: { ram_rw: expect.any(Number) as number } },
      invalidations: { outstanding: [], waitingVcpus: [], servers: [{ name: 'devices', isAwaited: false }] },
    })
    const [{ control, segments, ip, address }] = got.before.vcpus as unknown as [
      { control: Record<string, number>; segments: { selector: number }[]; ip: number; address: number },
    ]
    expect([control['cr4']! & 0x20, control['efer']! & 0x500]).toEqual([0x20, 0x500])
    expect(control['cr3']).toBeGreaterThan(0)
    expect(segments[1]!.selector).toBeGreaterThan(0)
    expect(ip).toBe(address)
    expect(got.waitsFor).toMatchObject({ server: 'devices', device: 'serial-3f8' })
    expect(got.waitsFor!.request).toMatch(/^port (read|write) of 1 bytes at 0x3f[8-d]$/)
    expect(got.activity).toBe('waits for a device')
    expect(got.log.at(-1)).toMatchObject({
      ...{ kind: expect.stringMatching(/^port-/) as string, size: 1, state: 'pending' },
      ...{ operand: 0, element: 0, outcome: 'asked' },
    })
    expect(got.instruction).toEqual({ passes: 1, reachedDevices: 1, fault: 'fault', nowhere: null })
    // The code that is executed just now: every level above the last is cached, as memory has it.
    expect(got.way).toEqual({
      ...{ gpa: expect.any(Number) as number, steps: ['4 table', '3 table', '2 page'], cached: ['2 true', '3 true'] },
      frame: {
        ...{ type: 'ram_ro', leafBytes: 4096, rights: 'read execute', users: [] },
        machineAddress: expect.any(Number) as number,
      },
    })
    expect(got.device).toMatchObject({ delayMs: 200, dead: false, waitingMs: [expect.any(Number)] })
    expect(got.after).toMatchObject({ delayMs: 0, waitingMs: [] })
  })

  test('steps by single instructions, and lists what was compiled', async () => {
    const page = await pages.open(server)
    const got = await page.evaluate(async () => {
      const { createMachine } = globalThis as unknown as PageGlobals
      const machine = await createMachine({ firmware: '/looping.bin', memoryBytes: 16 << 20 })
      void machine.run().catch(() => {})
      while ((await machine.compiledCode()).length === 0) await new Promise((resolve) => setTimeout(resolve, 50))
      const [unit] = await machine.compiledCode()
      await machine.pause()
      const counts: number[] = [(await machine.inspect()).instructions]
      const done: boolean[] = []
      const addresses = new Set<bigint>()
      for (let i = 0; i < 3; i++) {
        done.push(await machine.step())
        const { instructions, vcpus } = await machine.inspect()
        counts.push(instructions - counts[0]!)
        addresses.add(vcpus[0]!.address)
      }
      const state = machine.state
      void machine.run().catch(() => {})
      const goesOn = new Promise<void>((resolve) => {
        const look = async (): Promise<void> => {
          if ((await machine.inspect()).instructions > counts[0]! + 1000) resolve()
          else setTimeout(() => void look(), 20)
        }
        void look()
      })
      await goesOn
      machine.dispose()
      return {
        counts: counts.slice(1),
        done,
        places: addresses.size,
        state,
        mode: unit!.mode,
        wasm: [...unit!.module.slice(0, 4)],
        code: unit!.instructions.length,
      }
    })
    expect(got).toMatchObject({
      counts: [1, 2, 3],
      done: [true, true, true],
      state: 'paused',
      mode: 16,
      wasm: [0, 0x61, 0x73, 0x6d],
    })
    expect(got.places).toBeGreaterThan(1)
    expect(got.code).toBeGreaterThan(1)
  })
})
