import { readFileSync } from 'node:fs'
import { DebugExit } from '@retrap/devices'
import { Screen } from '@retrap/display'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { al, Assembler, ax, byte, dword, dx, eax, ecx, edi, esi, word } from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import { createPc, type MachineExit, type PcOptions } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

const EXIT_PORT = 0x501
const RESULTS = 0x3000
const COM_PORTS = [0x3f8, 0x2f8, 0x3e8, 0x2e8] as const
const CMOS = 0x70
const SHUTDOWN_STATUS = 0x0f
const RESUME_POINTER = 0x467
const RESUMED = 0x7c00
const ICR_LOW = 0xfee0_0300
const ICR_HIGH = 0xfee0_0310
const INIT = 0x4500
const FW_CFG = 0x510
const FW_CFG_CPUS = 5

/** Runs a kernel and returns how it ended, the sixteen bytes at RESULTS, and what each serial port printed. */
async function run(build: (asm: Assembler) => void, options: Partial<PcOptions> = {}) {
  const pc = await createPc({
    jit: TEST_JIT,
    memoryBytes: 4 << 20,
    codeCacheBytes: 4 << 20,
    kernel: multibootKernel(build),
    devices: [new DebugExit({ iobase: EXIT_PORT })],
    ...options,
  })
  const printed = pc.serialPorts.map(() => '')
  for (const [i, port] of pc.serialPorts.entries()) {
    port.onTransmit((bytes) => (printed[i] += String.fromCharCode(...bytes)))
    port.receive(Uint8Array.of(0x61 + i))
  }
  const exit: MachineExit = await pc.run({ timeoutMs: 100_000 })
  const results = new Uint8Array(16)
  pc.domain.guestMemory.read(RESULTS, results)
  pc.close()
  return { exit, results: [...results], printed }
}

function leave(asm: Assembler, code = 0): void {
  asm.mov(dx, EXIT_PORT).mov(al, code).out(dx, al).hlt()
}

describe('a kernel without firmware', () => {
  // A guest that Xen starts without firmware has no i8259 (libxl: PVH has XEN_X86_EMU_LAPIC alone): nothing comes from them.
  test.each([
    ['a BIOS leaves them', 'none', 0xf8],
    ['Xen starts a guest: all is masked', 'xen', 0xff],
  ] as const)('finds the interrupt controllers and the timer as %s', async (_name, hypervisor, mask) => {
    const build = (asm: Assembler): void => {
      asm
        .in(al, 0x21)
        .mov(byte(RESULTS), al)
        .in(al, 0xa1)
        .mov(byte(RESULTS + 1), al)
      // Read-back of counter 0's status: both bytes, mode 3, binary.
      asm
        .mov(al, 0xe2)
        .out(0x43, al)
        .in(al, 0x40)
        .and(al, 0x3f)
        .mov(byte(RESULTS + 2), al)
      leave(asm)
    }
    const { exit, results } = await run(build, { hypervisor })
    expect(exit.reason).toBe('debug-exit')
    expect(results.slice(0, 3)).toEqual([mask, 0xff, 0x36])
  })

  test.each(['pc', 'q35'] as const)(
    'of multiboot finds a %s with places for its cards and text on its screen',
    async (machine) => {
      const silent = { linkUp: true, maximumBytes: 1514, connect() {}, send: () => true, ready() {} }
      const screen = new Screen()
      const { results } = await run(
        (asm) => {
          // BAR 0 of the graphics card; BAR 1, command and interrupt line of the network card, of which the last two share a word.
          for (const [i, address] of [0x8000_1010, 0x8000_1814, 0x8000_1804, 0x8000_183c].entries()) {
            asm
              .mov(dx, 0xcf8)
              .mov(eax, address | 0)
              .out(dx, eax)
              .mov(dx, 0xcfc)
              .in(eax, dx)
            asm.mov(dword(RESULTS + 4 * i), eax)
          }
          asm.mov(word(0xb_8000), 0x1f4b)
          leave(asm)
        },
        { machine, vga: 'std', screen, networkCards: [{ model: 'e1000', network: silent }] },
      )
      const [frames = 0, ports = 0, command = 0, line = 0] = new Uint32Array(Uint8Array.from(results).buffer)
      expect([frames, ports & 0xfff, command & 3, [10, 11].includes(line & 0xff)]).toEqual([0xc000_0008, 1, 3, true])
      screen.refresh()
      expect(screen.text?.trim()).toBe('K')
      expect(screen.cells?.palette[1]).toBe(0x00_00aa)
    },
  )

  test('is told the number of CPUs by fw_cfg', async () => {
    const { results } = await run(
      (asm) => {
        asm
          .mov(dx, FW_CFG)
          .mov(eax, FW_CFG_CPUS)
          .out(dx, ax)
          .mov(dx, FW_CFG + 1)
        for (let i = 0; i < 2; i++) asm.in(al, dx).mov(byte(RESULTS + i), al)
        leave(asm)
      },
      { cpus: 3 },
    )
    expect(results.slice(0, 2)).toEqual([3, 0])
  })

  /** Puts real-mode code at 7C00h, where 40:67 points, and resets the boot processor alone. */
  function resetItself(asm: Assembler, status: number): void {
    const real = new Assembler({ bits: 16, address: RESUMED })
    leave(real, 0x21)
    const { bytes } = real.assemble()
    const code = asm.label()
    const start = asm.label()
    asm
      .jmp(start)
      .bind(code)
      .db(...bytes)
      .bind(start)
    asm.mov(esi, code).mov(edi, RESUMED).mov(ecx, bytes.length).rep().movsb()
    asm.mov(word(RESUME_POINTER), RESUMED).mov(word(RESUME_POINTER + 2), 0)
    asm
      .mov(al, SHUTDOWN_STATUS)
      .out(CMOS, al)
      .mov(al, status)
      .out(CMOS + 1, al)
    asm.mov(dword(ICR_HIGH), 0).mov(dword(ICR_LOW), INIT)
    const wait = asm.here()
    asm.jmp(wait)
  }

  test.each([0x05, 0x0a])('goes on at 40:67 after INIT with shutdown code %i', async (status) => {
    const { exit } = await run((asm) => resetItself(asm, status))
    expect(exit).toMatchObject({ reason: 'debug-exit', code: 0x43 })
  })

  test.each([0x00, 0x09])('is reset after INIT with shutdown code %i', async (status) => {
    const { exit } = await run((asm) => resetItself(asm, status))
    expect(exit.reason).toBe('reset')
  })
})

test('each serial port has its own bytes, both ways', async () => {
  const echo = (asm: Assembler): void => {
    for (const port of COM_PORTS) asm.mov(dx, port).in(al, dx).out(dx, al).inc(al).out(dx, al)
    leave(asm)
  }
  const { printed } = await run(echo, { serialPorts: 4 })
  expect(printed).toEqual(['ab', 'bc', 'cd', 'de'])
})

const ipxe = await debianMembers([{ package: 'ipxe', members: ['./boot/ipxe.lkrn'] }])

test.skipIf(ipxe === undefined)(
  `iPXE, which has a real-mode entry only, starts${skipNote(ipxe !== undefined, 'cannot fetch it')}`,
  async () => {
    const kernel = new Uint8Array(readFileSync(`${ipxe?.[0]}/boot/ipxe.lkrn`))
    const pc = await createPc({ jit: TEST_JIT, memoryBytes: 64 << 20, kernel, clock: 'deterministic' })
    let text = ''
    const stop = new AbortController()
    pc.serial.onTransmit((bytes) => {
      text += String.fromCharCode(...bytes)
      if (text.includes('iPXE initialising devices...')) stop.abort()
    })
    await pc.run({ timeoutMs: 60_000, signal: stop.signal })
    pc.close()
    expect(text).toContain('iPXE initialising devices...')
  },
  90_000,
)
