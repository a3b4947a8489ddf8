import { DebugConsole, DebugExit } from '@retrap/devices'
import { al, type Assembler, ax, byte, ds, dx, eax, imm16 } from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import { buildAcpiTables, relocatableAcpi } from '../src/acpi/index.ts'
import { createPc } from '../src/index.ts'
import { firmwareImage } from './support/kernels.ts'

const MIB = 1 << 20
const SMALL = { memoryBytes: 16 * MIB, codeCacheBytes: 4 * MIB, jit: TEST_JIT } as const

const board = {
  apicIds: [0, 1],
  localApicAddress: 0xfee0_0000,
  ioapic: { id: 2, address: 0xfec0_0000 },
  pmBase: 0x600,
  sciIrq: 9,
  s5SleepType: 5,
  reset: { port: 0xcf9, value: 6 },
  centuryIndex: 0x32,
  hpet: { address: 0xfed0_0000, capabilities: 0x8086_a201, minimumTick: 128 },
  pciMemory: { start: 0xc000_0000, end: 0xfebf_ffff },
  isaBridgeDevice: 1,
  serialPorts: [{ iobase: 0x3f8, irq: 4 }],
  keyboardController: true,
}

/** Sets a PAM register of the host bridge at 00:00.0. */
function setPam(asm: Assembler, register: number, value: number): void {
  asm
    .mov(dx, imm16(0xcf8))
    .mov(eax, 0x8000_0000 | (register & ~3))
    .out(dx, eax)
  asm
    .mov(dx, imm16(0xcfc + (register & 3)))
    .mov(al, value)
    .out(dx, al)
}

describe('firmware below 1 MiB', () => {
  test('PAM registers say whether ROM or RAM is read, and whether RAM is written', async () => {
    const image = firmwareImage((asm) => {
      const report = (): void => {
        asm.mov(dx, imm16(0xe9)).mov(al, byte(0)).out(dx, al)
      }
      const store = (value: number): void => void asm.mov(byte(0), value)
      asm.mov(ax, 0xd000).mov(ds, ax)
      // The bus: nothing answers at 0xD0000, and nothing takes a write.
      store(0x11)
      report()
      // PAM3 has 0xD0000 in its low half. Write-only RAM: still the bus is read.
      setPam(asm, 0x5c, 2)
      store(0x22)
      report()
      setPam(asm, 0x5c, 3)
      report()
      store(0x33)
      report()
      // Read-only RAM keeps what it has.
      setPam(asm, 0x5c, 1)
      store(0x44)
      report()
      setPam(asm, 0x5c, 0)
      report()
      // The BIOS area, as firmware shadows itself: a copy is made while reads come from ROM.
      asm.mov(ax, 0xf000).mov(ds, ax)
      setPam(asm, 0x59, 0x20)
      asm.mov(al, byte(0xffff)).mov(byte(0xffff), al).mov(byte(0xfffe), 0x55)
      asm.mov(dx, imm16(0xe9)).mov(al, byte(0xfffe)).out(dx, al)
      asm.mov(dx, imm16(0x501)).mov(al, 0).out(dx, al).hlt()
    })
    const seen: number[] = []
    const pc = await createPc({
      ...SMALL,
      firmware: image,
      devices: [
        new DebugConsole({ iobase: 0xe9, stream: { send: (bytes) => void seen.push(...bytes) } }),
        new DebugExit({ iobase: 0x501 }),
      ],
    })
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
    expect(seen).toEqual([0xff, 0xff, 0x22, 0x33, 0x33, 0xff, 0])
  })
})

describe('power management, where firmware puts it', () => {
  test('the timer is at PMBA while PMIOSE is set, and always where the tables say', async () => {
    const set = (asm: Assembler, register: number, value: number): void => {
      asm
        .mov(dx, imm16(0xcf8))
        .mov(eax, 0x8000_0b00 | register)
        .out(dx, eax)
      asm.mov(dx, imm16(0xcfc)).mov(eax, value).out(dx, eax)
    }
    const seen: number[] = []
    const image = firmwareImage((asm) => {
      // Prints the upper half of the timer's dword: 0 shortly after power-on, FFh where nothing answers.
      const report = (port: number): void => {
        asm
          .mov(dx, imm16(port + 10))
          .in(al, dx)
          .out(0xe9, al)
      }
      report(0xb000)
      set(asm, 0x40, 0xb001)
      report(0xb000)
      set(asm, 0x80, 1)
      report(0xb000)
      report(0x600)
      set(asm, 0x40, 0xb101)
      report(0xb000)
      report(0xb100)
      set(asm, 0x80, 0)
      report(0xb100)
      report(0x600)
      // A base of 0 is none.
      set(asm, 0x40, 0x0001)
      set(asm, 0x80, 1)
      report(0)
      // Over another device it stays off.
      set(asm, 0x40, 0x0401)
      set(asm, 0x80, 1)
      asm.mov(dx, imm16(0xcf8)).mov(eax, 0x8000_0b00).out(dx, eax)
      asm.mov(dx, imm16(0xcfc)).in(ax, dx).out(0xe9, al)
      asm.mov(dx, imm16(0x501)).mov(al, 0).out(dx, al).hlt()
    })
    const pc = await createPc({
      ...SMALL,
      firmware: image,
      clock: 'deterministic',
      devices: [
        new DebugConsole({ iobase: 0xe9, stream: { send: (bytes) => void seen.push(...bytes) } }),
        new DebugExit({ iobase: 0x501 }),
      ],
    })
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
    expect(seen).toEqual([0xff, 0xff, 0, 0, 0xff, 0, 0xff, 0, 0xff, 0x86])
  })
})

/** What comes before the first NUL. */
const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes).replace(/\0.*$/s, '')

/** What firmware does with a table loader's script. */
function link(addresses: Record<string, number>, files: Record<string, Uint8Array>, script: Uint8Array): unknown[] {
  const allocations: unknown[] = []
  const view = new DataView(script.buffer, script.byteOffset, script.byteLength)
  for (let at = 0; at < script.length; at += 128) {
    const name = text(script.subarray(at + 4, at + 60))
    const file = files[name] as Uint8Array
    const data = new DataView(file.buffer)
    switch (view.getUint32(at, true)) {
      case 2: {
        const base = BigInt(addresses[text(script.subarray(at + 60, at + 116))] as number)
        const offset = view.getUint32(at + 116, true)
        expect([4, 8]).toContain(script[at + 120])
        if (script[at + 120] === 8) data.setBigUint64(offset, data.getBigUint64(offset, true) + base, true)
        else data.setUint32(offset, data.getUint32(offset, true) + Number(base), true)
        break
      }
      case 3: {
        const [offset, start, length] = [60, 64, 68].map((field) => view.getUint32(at + field, true)) as [
          number,
          number,
          number,
        ]
        let sum = 0
        for (let i = start; i < start + length; i++) sum += file[i] as number
        // SeaBIOS subtracts; OVMF puts the negative sum in place of what is there. They agree where that is zero.
        expect(file[offset]).toBe(0)
        file[offset] = -sum
        break
      }
      default:
        expect(view.getUint32(at, true)).toBe(1)
        allocations.push({ name, alignment: view.getUint32(at + 60, true), zone: script[at + 64] })
    }
  }
  return allocations
}

describe('ACPI tables that firmware places', () => {
  test('become the tables that a kernel gets, wherever they are put', () => {
    const base = 0x7fe_0000
    const { rsdp, tables, script } = relocatableAcpi(board)
    const allocations = link(
      { 'etc/acpi/tables': base, 'etc/acpi/rsdp': 0xf_0000 },
      { 'etc/acpi/tables': tables, 'etc/acpi/rsdp': rsdp },
      script,
    )
    // The RSDP is where a kernel looks for it.
    expect(allocations).toEqual([
      { name: 'etc/acpi/tables', alignment: 64, zone: 1 },
      { name: 'etc/acpi/rsdp', alignment: 16, zone: 2 },
    ])
    const direct = buildAcpiTables(board, base)
    expect(rsdp).toEqual(direct.image.slice(0, rsdp.length))
    expect(tables.subarray(64)).toEqual(direct.image.subarray(64))
  })
})
