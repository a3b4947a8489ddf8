/** An Arm board in a page: loaded when it is wanted, and only then. */
import { buildGuestImage } from '@retrap/embedded-guest'
import { armImage, movz, POWER_OFF } from '@retrap/tooling/arm-image'
import { noBrowser } from '@retrap/tooling/browser'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ArmBoardView } from '../src/index.ts'
import { ARM_UART, sendArm } from './support/guests.ts'
import { type PageGlobals, Pages, POLICY } from './support/pages.ts'

const send = (text: string): number[] => [...text].flatMap((one) => [movz(2, one.charCodeAt(0)), sendArm(2)])

/** Says `ready` on its UART, sends back the first character that it gets, and powers off by PSCI. */
const PROGRAM = [
  ...[...ARM_UART, ...send('ready ')],
  ...[0xb940_1822, 0x3727_ffe2], // ldr w2, [x1, #0x18]; tbnz w2, #4, .-4: nothing has come
  ...[0x3940_0023, sendArm(3)], // ldrb w3, [x1]
  ...POWER_OFF,
]

describe.skipIf(noBrowser !== undefined)('an Arm board in a page', () => {
  let pages: Pages
  beforeAll(async () => {
    pages = await Pages.start()
    pages.files.set('Image', armImage(...PROGRAM)).set('guest.bin', buildGuestImage())
  })
  afterAll(() => pages?.close())

  test('runs a kernel, which hears the serial port and powers off; it is saved, and goes on from a file', async () => {
    const page = await pages.open(await pages.serve({ headers: { 'content-security-policy': POLICY } }))
    const got = await page.evaluate(async () => {
      const { createMachine, listen } = globalThis as unknown as PageGlobals
      const message = ({ message: text }: Error): string => text
      const machine = await createMachine({ board: 'virt', kernel: '/Image', memoryBytes: 16 << 20, cpus: 2 })
      let text = ''
      machine.on('serial', (bytes) => {
        text += new TextDecoder().decode(bytes)
        if (text === 'ready ') machine.write('x')
      })
      const fresh = await machine.save()
      const seen = (await machine.inspect()) as ArmBoardView
      // An address and registers are no JSON.
      const [boot, parked] = seen.vcpus.map(({ address, registers, system, bytes, ...rest }) => ({
        ...rest,
        sp: Number(rest.sp),
        code: new DataView(bytes.buffer).getUint32(Number(bytes.byteOffset), true),
        registers: registers.length,
        isAligned: address % 4n === 0n,
        system: Object.keys(system).join(' '),
      }))
      const view = {
        ...seen,
        vcpus: undefined,
        first: boot,
        second: parked,
        devices: seen.devices.map(({ name }) => name),
      }
      const { reason } = await machine.run()
      machine.dispose()
      // It has not begun: it says all of it again.
      const other = await createMachine({ snapshot: fresh, board: 'virt' })
      const until = listen(other)
      const ended = other.run()
      await until('ready ')
      await other.restore(fresh)
      await until('ready ')
      other.write('y')
      const again = await until('y')
      const end = (await ended).reason
      other.dispose()
      const wrong = await createMachine({ snapshot: fresh, board: 'pc', memoryBytes: 16 << 20 }).catch(message)
      const firmware = await createMachine({ board: 'virt', firmware: '/Image' }).catch(message)
      return { text, reason, view, firmware, again, end, wrong }
    })
    expect(got).toMatchObject({ text: 'ready x', reason: 'power-off', again: 'y', end: 'power-off' })
    expect(got.wrong).toMatch(/snapshot/)
    expect(got.firmware).toBe("firmware: board 'virt' starts a kernel, without it")
    expect(got.view).toMatchObject({
      architecture: 'arm',
      requests: [],
      // EL1 with its own stack pointer, all interrupts masked; the header's first word is a branch.
      first: {
        ...{ mode: 'a64', activity: 'executes', idle: false, pstate: 0x3c5, waitsFor: null, pendingInterrupt: null },
        ...{ code: 0x1400_0010, registers: 31, isAligned: true },
        system: 'ELR_EL1 SPSR_EL1 ESR_EL1 FAR_EL1 VBAR_EL1 SCTLR_EL1 TTBR0_EL1 TTBR1_EL1',
      },
      second: { activity: 'off', idle: true },
      map: { bytesByType: { ram_rw: expect.any(Number) } },
    })
    expect(got.view.devices.join(' ')).toMatch(/pl011|uart|serial/)
  })
  test('is prepared before the machine is made, in a Worker that makes a PC as well', async () => {
    const asked: string[] = []
    const server = await pages.serve({ answer: ({ url = '' }) => asked.push(url) < 0 })
    const page = await pages.open(server)
    const isLoaded = (): boolean => asked.some((path) => path.includes('arm-board'))
    await page.evaluate(() => {
      const { prepareArmBoard, startMachineWorker } = globalThis as unknown as PageGlobals
      const workers = [startMachineWorker(), startMachineWorker()]
      for (const worker of workers) prepareArmBoard(worker)
      Object.assign(globalThis, { workers })
    })
    await expect.poll(isLoaded).toBe(true)
    const said = await page.evaluate(() => {
      const { createMachine, workers } = globalThis as unknown as PageGlobals & { workers: Worker[] }
      const options = [{ board: 'virt', kernel: '/Image' }, { firmware: '/guest.bin' }] as const
      return Promise.all(
        options.map(async (own, i) => {
          const machine = await createMachine({ ...own, memoryBytes: 16 << 20, createWorker: () => workers[i]! })
          const first = new Promise<number>((resolve) => machine.on('serial', ({ length }) => resolve(length)))
          void machine.run().catch(() => {})
          const length = await first
          machine.dispose()
          return length > 0
        }),
      )
    })
    expect(said).toEqual([true, true])
  })
})
