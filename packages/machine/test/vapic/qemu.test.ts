/**
 * QEMU's own patcher (its device "kvmvapic", which works without KVM too) with the same guest: it patches the same
 * instructions into the same calls, and its guest goes on here, by its migration stream.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram } from '@retrap/tooling/skip'
import { decodeSaved, encodeSaved, SAVED_BYTES, VapicState } from '@retrap/vapic'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect, test } from 'vitest'
import { everyForm } from './forms.ts'
import { AT, linear, RAM_BYTES, RESTART, TPR } from './kernel.ts'
import { stockRom } from './stock.ts'
import { machineFor, readLog, runKernel, stormKernel } from './storm.ts'

const QEMU = 'qemu-system-x86_64'
const available = hasProgram(QEMU) && stockRom !== undefined
if (!available) console.warn(`SKIPPED: comparing with QEMU's patcher needs ${QEMU} and qemu-system-data`)

/** Without the device that QEMU does not have, and without reads into ESP: QEMU patches those into calls of address 0. */
function stormForQemu(): Uint8Array {
  const storm = everyForm(1)
  const programs = storm.programs.map((ops) =>
    ops.filter((op) => op.kind !== 'device' && !(op.kind === 'other' && op.form === 'esp')),
  )
  return stormKernel({ ...storm, programs })
}

/** What a machine of QEMU's has come to: all of its RAM, and its migration stream. */
interface QemuGuest {
  readonly memory: Uint8Array
  readonly stream: Uint8Array
}

/** Runs a kernel until it halts. */
async function runInQemu(kernel: Uint8Array, folder: string): Promise<QemuGuest> {
  const file = (name: string): string => join(folder, name)
  writeFileSync(file('kernel'), kernel)
  const machine = ['-M', 'pc,accel=tcg', '-cpu', 'qemu32', '-m', `${RAM_BYTES >> 20}`, '-kernel', file('kernel')]
  const process = spawn(QEMU, [...machine, '-display', 'none', '-serial', 'none', '-monitor', 'stdio'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let said = ''
  process.stdout.on('data', (bytes: Buffer) => (said += bytes.toString('latin1')))
  const until = async (wanted: string | RegExp, ask: string): Promise<void> => {
    for (let tries = 0; tries < 200; tries++) {
      said = ''
      process.stdin.write(`${ask}\n`)
      await new Promise((resolve) => setTimeout(resolve, 150))
      if (said.search(wanted) >= 0) return
    }
    throw new Error(`QEMU does not come to ${String(wanted)}: ${said.slice(-400)}`)
  }
  try {
    // In the kernel, and halted with interrupts off: at its end.
    await until(/EIP=801[0-9a-f]{5} EFL=00000[0-9a-f]{3} .*HLT=1/, 'info registers')
    process.stdin.write('stop\n')
    process.stdin.write(`pmemsave 0 ${RAM_BYTES} "${file('memory')}"\n`)
    process.stdin.write(`migrate "exec:cat > ${file('stream')}"\n`)
    await until('completed', 'info migrate')
    process.stdin.write('quit\n')
    await once(process, 'exit')
  } finally {
    process.kill()
  }
  return { memory: new Uint8Array(readFileSync(file('memory'))), stream: new Uint8Array(readFileSync(file('stream'))) }
}

/** The patcher's section of a migration stream: its name, instance and version (32 bits each), and its fields. */
function sectionOf(stream: Uint8Array): Uint8Array {
  const name = Buffer.from('kvm-tpr-opt')
  const at = Buffer.from(stream).indexOf(name) + name.length + 8
  return stream.subarray(at, at + SAVED_BYTES)
}

describe.skipIf(!available)("QEMU's patcher and ours", () => {
  const kernel = stormForQemu()
  const folder = temporaryFolder('vapic')
  let qemu: QemuGuest
  beforeAll(async () => {
    qemu = await runInQemu(kernel, folder)
  }, 60_000)

  test('patch the same instructions into the same calls', async () => {
    const ours = await runKernel(kernel, 1, { vapic: { rom: stockRom } })
    const theirs = decodeSaved(sectionOf(qemu.stream))
    const rom = theirs.rom_state_vaddr - 0x20
    const { gpa, sites } = { gpa: linear(0xc_0000), sites: ours.pc.vapic?.patcher.sites ?? [] }
    expect(sites).toHaveLength(38)
    for (const { address, patch } of sites) {
      const prefix = patch.length - 5
      // Pages of the window have changed places.
      const bytes = Uint8Array.from(patch, (_, i) => qemu.memory[physical(address + i)] ?? 0)
      expect([address, ...bytes.subarray(0, prefix + 1)]).toEqual([address, ...patch.subarray(0, prefix + 1)])
      const target = (from: Uint8Array): number =>
        (address + patch.length + new DataView(from.buffer, from.byteOffset).getInt32(prefix + 1, true)) >>> 0
      expect(target(bytes) - rom).toBe(target(patch) - gpa)
    }
  })

  test("QEMU's stream is read, and written, field by field", () => {
    const bytes = sectionOf(qemu.stream)
    const saved = decodeSaved(bytes)
    const base = saved.rom_state_vaddr - 0x20
    expect(saved).toMatchObject({
      state: VapicState.ACTIVE,
      real_tpr_addr: TPR,
      rom_state_paddr: base + 0x20 - linear(0),
    })
    expect(saved.vapic_paddr).toBe(base + 0x300 - linear(0))
    expect(saved.rom_state).toMatchObject({
      vaddr: base + 0x20,
      fixup_start: base + 0x22d,
      fixup_end: base + 0x2d9,
      vapic_vaddr: base + 0x300,
      vapic_size: 0x2000,
      vcpu_shift: 7,
      real_tpr_addr: TPR,
      up: { set_tpr: base + 0x1f6, set_tpr_eax: base + 0x1ef, get_tpr_stack: base + 0x1e1 },
      mp: { set_tpr: base + 0x138, set_tpr_eax: base + 0x131, get_tpr_stack: base + 0x127 },
    })
    const written = encodeSaved(saved)
    expect([...written.subarray(8)]).toEqual([...bytes.subarray(8)])
  })

  test('a guest that QEMU has patched goes on here', async () => {
    const pc = await machineFor(kernel, 1, { vapic: { rom: stockRom } })
    const { guestMemory, vcpus } = pc.domain
    guestMemory.load(0, qemu.memory.subarray(0, 0xa_0000))
    guestMemory.load(0xc_0000, qemu.memory.subarray(0xc_0000))
    // It is to run once more from its beginning, with paging on.
    guestMemory.load(AT.variables, new Uint8Array(0x1000))
    const flat = { selector: 16, base: 0, limit: 0xffff_ffff, attributes: 0xc093 }
    vcpus[0]?.cpu.load({
      registers: { rip: RESTART, rsp: linear(AT.stacks) + 0x800, rflags: 2 },
      segments: {
        cs: { ...flat, selector: 8, attributes: 0xc09b },
        ds: flat,
        es: flat,
        fs: { ...flat, selector: 24, base: linear(AT.kpcr) },
        gs: flat,
        ss: flat,
        tr: { selector: 0, base: 0, limit: 0x67, attributes: 0x8b },
        ldtr: { selector: 0, base: 0, limit: 0, attributes: 0x82 },
      },
      gdtr: { base: AT.tables + 0x800, limit: 0x3ff },
      idtr: { base: linear(AT.tables), limit: 0x7ef },
      cr0: 0x8001_0011,
      cr3: AT.directory,
      cr4: 0x10,
      efer: 0,
    })
    // The kernel had masked the interrupt controllers before that; here they are as a BIOS leaves them.
    for (const port of [0x21, 0xa1]) await pc.domain.writePort(port, 1, 0xff)
    const patcher = pc.vapic?.patcher
    patcher?.restore(decodeSaved(sectionOf(qemu.stream)))
    expect([patcher?.state, patcher?.isEnabled(0)]).toEqual([VapicState.ACTIVE, true])
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit', code: 1 })
    const expected = await runKernel(kernel, 1)
    expect(readLog(pc, 0)).toEqual(expected.logs[0])
    // Nothing was left to patch but what the kernel copies anew, and helpers asked for interrupts in this machine's way.
    expect([patcher?.counts.patched, pc.domain.vcpus[0]?.apic.read(0x80)]).toEqual([1, 0])
    expect(patcher?.counts.polls).toBeGreaterThan(20)
  })
})

/** Where the kernel's tables lead: two pages of its window have changed places. */
function physical(address: number): number {
  const at = address - linear(0)
  const page = at >>> 12
  const window = AT.window >>> 12
  return page === window ? at + 0x1000 : page === window + 1 ? at - 0x1000 : at
}
