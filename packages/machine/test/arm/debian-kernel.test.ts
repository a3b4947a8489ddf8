// Debian's kernel for arm64, placed here with a device tree of ours, and started on QEMU's board.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ascii } from '@retrap/tooling/images'
import { debianMembers } from '@retrap/tooling/debian'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { armDeviceTree, loadArmKernel, relocatableArmAcpi, VIRT } from '../../src/arm/index.ts'
import { ArmRam } from './arm-ram.ts'

const test = sliceTests(3)

const MIB = 1 << 20
const MEBIBYTES = 256
const package_ = { package: 'linux-image-arm64:arm64', dependency: 'linux-image-', members: ['./boot/vmlinuz-*'] }
const firmware = { package: 'qemu-efi-aarch64', members: ['./usr/share/qemu-efi-aarch64/QEMU_EFI.fd'] }
const [folder, firmwareFolder] = (await debianMembers([package_, firmware])) ?? []
const available = folder !== undefined && firmwareFolder !== undefined && hasProgram('qemu-system-aarch64')

/** A cpio archive of nothing. */
const EMPTY_ARCHIVE = ascii(`070701${'0'.repeat(88)}0000000b${'0'.repeat(8)}TRAILER!!!\0`.padEnd(512, '\0'))

/** QEMU keeps a tree of its own at the beginning of RAM: what belongs there is copied by the code that starts it. */
const STAGING = VIRT.ram.base + 128 * MIB

/** Code that copies `bytes` from the staging area to the beginning of RAM, and enters the kernel. */
function start(tree: number, entry: number, bytes: number): Uint8Array {
  const values = [tree, entry, VIRT.ram.base, STAGING, bytes]
  const code = new DataView(new ArrayBuffer(80))
  // LDR of X0 and X9 to X12: the values lie behind ten instructions.
  values.forEach((value, i) => {
    code.setUint32(4 * i, 0x5800_0000 | ((10 + i) << 5) | (i === 0 ? 0 : 8 + i), true)
    code.setBigUint64(40 + 8 * i, BigInt(value), true)
  })
  // LDP X13, X14, [X11], #16; STP X13, X14, [X10], #16; SUBS X12, X12, #16; B.NE to the first; BR X9.
  const copy = [0xa8c1_396d, 0xa881_394d, 0xf100_418c, 0x54ff_ffa1, 0xd61f_0120]
  copy.forEach((word, i) => code.setUint32(20 + 4 * i, word, true))
  return new Uint8Array(code.buffer)
}

/** What a QEMU prints on its serial port until it ends. */
async function consoleOf(options: readonly string[]): Promise<string> {
  const rest = ['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot']
  const qemu = spawn('qemu-system-aarch64', [...options, ...rest], { stdio: ['ignore', 'pipe', 'ignore'] })
  let text = ''
  qemu.stdout.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')))
  const timer = setTimeout(() => qemu.kill('SIGKILL'), 90_000)
  await once(qemu, 'exit')
  clearTimeout(timer)
  return text
}

/** QEMU's board without tables of its own: Debian's UEFI firmware places ours. */
async function bootByAcpi(): Promise<string> {
  const acpi = relocatableArmAcpi({ cpus: 2, memoryBytes: MEBIBYTES * MIB })
  const scratch = temporaryFolder('arm')
  const files = { 'etc/acpi/rsdp': acpi.rsdp, 'etc/acpi/tables': acpi.tables, 'etc/table-loader': acpi.script }
  const items = Object.entries(files).flatMap(([name, bytes], i) => {
    writeFileSync(join(scratch, `${i}`), bytes)
    return ['-fw_cfg', `name=${name},file=${join(scratch, `${i}`)}`]
  })
  const boots = join(folder!, 'boot')
  const kernel = ['-kernel', join(boots, readdirSync(boots)[0]!), '-append', 'console=ttyAMA0 panic=-1 acpi=force']
  const machine = ['-M', 'virt,gic-version=3,acpi=off', '-cpu', 'cortex-a57', '-smp', '2', '-m', `${MEBIBYTES}`]
  return await consoleOf([...machine, '-bios', join(firmwareFolder!, firmware.members[0]!), ...kernel, ...items])
}

async function boot(gic: 2 | 3): Promise<string> {
  const boots = join(folder!, 'boot')
  const ram = new ArmRam(MEBIBYTES)
  const board = { cpus: 2, memoryBytes: ram.ramBytes, gic }
  const commandLine = 'console=ttyAMA0 panic=-1'
  const loaded = await loadArmKernel(ram, {
    kernel: readFileSync(join(boots, readdirSync(boots)[0]!)),
    initrd: EMPTY_ARCHIVE,
    deviceTree: (initrd) => armDeviceTree(board, { commandLine, initrd, rngSeed: new Uint8Array(32) }),
  })
  const scratch = temporaryFolder('arm')
  const used = Math.ceil((loaded.initrd!.gpa + loaded.initrd!.bytes - VIRT.ram.base) / 16) * 16
  const stub = VIRT.ram.base + ram.ramBytes - 0x1000
  writeFileSync(join(scratch, 'ram'), ram.at(VIRT.ram.base, used))
  writeFileSync(join(scratch, 'stub'), start(loaded.state.x[0], loaded.state.pc, used))
  const machine = ['-M', `virt,gic-version=${gic}`, '-cpu', 'cortex-a57', '-smp', '2', '-m', `${MEBIBYTES}`]
  const pieces = [
    `file=${join(scratch, 'ram')},addr=${STAGING},force-raw=on`,
    `file=${join(scratch, 'stub')},addr=${stub},force-raw=on`,
  ]
  const loaders = [...pieces, `addr=${stub},cpu-num=0`].flatMap((piece) => ['-device', `loader,${piece}`])
  return await consoleOf([...machine, ...loaders])
}

const note = skipNote(available, 'there is no qemu-system-aarch64 or no kernel for it')
describe.skipIf(!available)(`the kernel finds the board by its tree${note}`, () => {
  test.each([
    { gic: 2 as const, lines: [/Root IRQ handler: gic_handle_irq/] },
    {
      gic: 3 as const,
      lines: [
        /GICv3: 224 SPIs implemented/,
        /ITS@0x0000000008080000: allocated \d+ Devices/,
        /PCI\/MSI: \S+its@8080000 domain/,
      ],
    },
  ])('with a GICv$gic', { timeout: 120_000 }, async ({ gic, lines }) => {
    const text = await boot(gic)
    for (const line of [
      /Machine model: linux,dummy-virt/,
      /psci: PSCIv1\.\d+ detected in firmware/,
      /Kernel command line: console=ttyAMA0 panic=-1/,
      /Memory: \d+K\/262144K available/,
      /arch_timer: cp15 timer\(s\) running at .* \(virt\)/,
      /smp: Brought up 1 node, 2 CPUs/,
      /9000000\.pl011: ttyAMA0 at MMIO 0x9000000 \(irq = \d+, base_baud = 0\) is a PL011 rev1/,
      /Trying to unpack rootfs image as initramfs/,
      /pci-host-generic 4010000000\.pcie: ECAM at \[mem 0x4010000000-0x401fffffff\] for \[bus 00-ff\]/,
      /pci_bus 0000:00: root bus resource \[mem 0x8000000000-0xffffffffff\]/,
      /rtc-pl031 9010000\.pl031: registered as rtc0/,
      /Kernel panic - not syncing: VFS: Unable to mount root fs/,
      ...lines,
    ])
      expect(text).toMatch(line)
    expect(text).not.toMatch(/violation of boot protocol|Initramfs unpacking failed/)
  })
})

test.skipIf(!available)(`the kernel finds the board by its ACPI tables${note}`, { timeout: 120_000 }, async () => {
  const text = await bootByAcpi()
  for (const line of [
    /ACPI: RSDP 0x[0-9A-F]+ 000024 \(v02 RETRAP\)/,
    /ACPI: SPCR: console: pl011,mmio,0x9000000,9600/,
    /psci: probing for conduit method from ACPI\./,
    /GICv3: 224 SPIs implemented/,
    /PCI\/MSI: ITS@0x8080000 domain created/,
    /arch_timer: cp15 timer\(s\) running at .* \(virt\)/,
    /smp: Brought up 1 node, 2 CPUs/,
    /ACPI: 1 ACPI AML tables successfully acquired and loaded/,
    /ACPI: Using GIC for interrupt routing/,
    /ARMH0011:00: ttyAMA0 at MMIO 0x9000000/,
    /ACPI: PCI Root Bridge \[PCI0\] \(domain 0000 \[bus 00-ff\]\)/,
    /ECAM at \[mem 0x4010000000-0x401fffffff\] for \[bus 00-ff\]/,
    /ACPI: Remapped I\/O 0x000000003eff0000 to \[io {2}0x0000-0xffff window\]/,
    /ACPI: button: Power Button \[PWRB\]/,
    /Kernel panic - not syncing: VFS: Unable to mount root fs/,
  ])
    expect(text).toMatch(line)
  expect(text).not.toMatch(/ACPI (BIOS )?(Error|Warning)|No PPTT table found/)
})
