import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { runCli } from '../src/cli.ts'
import { FakeHost } from './support/fake-machine.ts'
import { runFake } from './support/run-fake.ts'

const file = join(tmpdir(), `retrap-image-${process.pid}`)
beforeAll(() => writeFile(file, 'image'))

const deviceModule = fileURLToPath(new URL('../../../packages/device/examples/my-device.ts', import.meta.url))
const image = new TextEncoder().encode('image')
const ELF = new Uint8Array(512)
ELF.set([0x7f, 0x45, 0x4c, 0x46])
/** "Booting AArch64 Linux", section 4: the magic number. */
const ARM = new Uint8Array(64)
ARM.set([0x41, 0x52, 0x4d, 0x64], 0x38)
const [elf, disk, arm] = ['elf', 'disk', 'arm'].map((name) => `${file}-${name}`) as [string, string, string]
beforeAll(async () => {
  await writeFile(elf, ELF)
  await writeFile(disk, new Uint8Array(512))
  await writeFile(arm, ARM)
})

describe('the machine', () => {
  test.each([
    { args: [], options: { memoryBytes: 64 << 20, cpus: 1, clock: 'real', devices: [] } },
    { args: ['--cpus', '4', '--memory', '1G'], options: { memoryBytes: 1 << 30, cpus: 4 } },
    // Room for a compiler's code, where machine memory has it.
    { args: ['--memory', '2G'], options: { memoryBytes: 2 ** 31, codeCacheBytes: 128 << 20 } },
    { args: ['--cpu', 'core2,-sse4_1'], options: { cpu: 'core2,-sse4_1' } },
    { args: ['--cpu', 'host,vendor=amd'], options: { cpu: 'max,vendor=amd' } },
    { args: ['run', elf, '--snapshot', disk], options: { kernel: ELF, drives: [expect.anything()] } },
    {
      args: ['run', '--arch', 'arm64', '--devices', 'worker', arm],
      options: { architecture: 'arm64', kernel: expect.any(Uint8Array), devicePlacement: expect.any(Function) },
    },
    { args: ['--devices', 'async'], options: { devicePlacement: 'deferred' } },
    { args: ['--hypervisor', 'xen', '--console', 'xen'], options: { hypervisor: 'xen' } },
    { args: ['--devices', 'worker'], options: { devicePlacement: expect.any(Function) } },
    {
      args: ['--device-failure', 'detach', '--device-deadline', '0.5', '--trace', 'ioreq'],
      options: { devicePolicy: 'detach', deviceDeadlineMs: 500, trace: expect.any(Function) },
    },
    { args: ['--check-mappings'], options: { checkMappings: true } },
    { args: ['--serial', 'stdio', '--serial', 'none'], options: { serialPorts: 2 } },
    {
      args: ['--device', deviceModule, '--device', `${deviceModule},transport=worker`],
      options: { devices: [{ name: 'thermometer' }], deviceServers: [expect.any(Function)] },
    },
    {
      args: ['run', '--kernel', file, '--vapic', '--option-rom', file, '--option-rom', file],
      options: {
        vapic: true,
        optionRoms: [
          { name: basename(file), bytes: image },
          { name: basename(file), bytes: image },
        ],
      },
    },
    { args: ['--deterministic'], options: { clock: 'deterministic' } },
    {
      args: ['run', '--kernel', file, '--initrd', file, '--append', 'console=ttyS0', '--memory', '256M'],
      options: { memoryBytes: 256 << 20, kernel: image, initrd: image, commandLine: 'console=ttyS0' },
    },
    {
      args: ['run', '--kernel', file, '--module', `${file} linux console=hvc0`, '--module', file],
      options: {
        modules: [
          { bytes: image, commandLine: 'linux console=hvc0' },
          { bytes: image, commandLine: '' },
        ],
      },
    },
    { args: ['run', '--firmware', file], options: { memoryBytes: 512 << 20, firmware: image } },
    {
      args: ['--device', 'pci-testdev', '--device', 'pci-testdev,addr=0x1d'],
      options: { devices: [{ name: 'pci-testdev-1e' }, { name: 'pci-testdev-1d' }] },
    },
    {
      args: ['run', '--firmware', file, '--device', 'isa-debug-exit,iobase=0xf4,iosize=4', '--device', 'isa-debugcon'],
      options: { devices: [expect.anything(), expect.anything()] },
    },
  ])('that $args asks for', async ({ args, options }) => {
    expect(await runFake(...args)).toMatchObject({ code: 0, created: [options] })
  })

  test('a kernel that is none is answered with the option and the file', async () => {
    const error = Object.assign(new Error('it is nothing that can be loaded'), {
      name: 'LoaderError',
      code: 'ERR_FORMAT',
    })
    const off = new FakeHost(async () => ({ reason: 'power-off' }))
    const host = Object.assign(off, { createMachine: () => Promise.reject(error) })
    expect(await runCli(['run', '--kernel', file], host)).toBe(74)
    expect(host.stderr.text).toContain(`retrap: --kernel ${file}: it is nothing that can be loaded`)
  })

  test('without a command runs the embedded guest, which hears of the end of input', async () => {
    const host = new FakeHost(async ({ print, typed }) => {
      print('Hello\r\nretrap> ')
      await typed((all) => all === '\u0004')
      return { reason: 'power-off' }
    })
    setImmediate(() => host.stdin.emit('end'))
    expect(await runCli([], host)).toBe(0)
    expect(host.created[0]?.firmware).toEqual(host.embeddedGuest())
  })
})

describe('a mistake gets one line that says what to do, and no machine', () => {
  test.each([
    { args: ['run'], says: 'give a disk image, --kernel FILE or --firmware FILE' },
    { args: ['esr', 'x17'], says: "VALUE 'x17' is not a syndrome; write it as 0x93800007" },
    { args: ['esr', '--hsr', '0x193800007'], says: 'HSR has 32 bits' },
    { args: ['run', '--initrd', file, '--firmware', file], says: 'give --kernel FILE too' },
    { args: ['run', '--module', file, '--firmware', file], says: 'give --kernel FILE too' },
    { args: ['run', '--kernel', file, '--module', ' '], says: "write FILE or 'FILE TEXT'" },
    { args: ['run', '--kernel', file, '--module', '/nowhere/x y'], code: 74, says: '--module /nowhere/x: there is' },
    { args: ['run', '--kernel', '/nowhere/x'], code: 74, says: '--kernel /nowhere/x: there is no such file' },
    { args: ['run', '--kernel', tmpdir()], code: 74, says: 'it is a directory' },
    { args: ['--memory', '0'], says: 'give at least 2M' },
    { args: ['--memory', '1M'], says: 'give at least 2M' },
    { args: ['--memory', '5G'], says: 'give at most 3584M' },
    { args: ['--cpus', '0'], says: 'give one from 1 to' },
    { args: ['--cpus', '1000'], says: 'give one from 1 to' },
    { args: ['--timeout', 'never'], says: 'give seconds' },
    { args: ['--serial', 'com1'], says: 'give stdio, tcp:PORT, unix:PATH, file:FILE, pty or none' },
    { args: ['--serial', 'stdio', '--serial', 'stdio'], says: 'is connected to a serial port already' },
    { args: Array.from({ length: 5 }, () => ['--serial', 'none']).flat(), says: 'a PC has 4 serial ports' },
    { args: ['run', '--kernel', file, '--firmware', file], code: 74, says: 'that firmware cannot start' },
    {
      args: ['run', '--kernel', file, '--firmware', file, '--drive', `file=${file},format=raw,bootindex=0`],
      says: 'give the drive bootindex=1',
    },
    { args: ['-m', '512'], says: 'there is no -m; write --memory 512M; retrap qemu takes whole lines' },
    {
      args: ['run', '-m', '512', '-kernel', file],
      says: 'there is no -m; write --memory 512M; retrap qemu takes whole lines',
    },
    { args: ['run', '-m', '2G', file], says: 'there is no -m; write --memory 2G; retrap qemu takes' },
    { args: ['run', '-m', 'size=1g,slots=2', file], says: 'write --memory 1G; retrap qemu takes' },
    { args: ['-m'], says: 'write --memory 512M; retrap qemu takes' },
    { args: ['-m', 'much'], says: 'write --memory 512M; retrap qemu takes' },
    { args: ['-smp', '4'], says: 'there is no -smp; write --cpus 4; retrap qemu takes' },
    { args: ['--smp=8,cores=4', '-m', '1'], says: 'write --cpus 8; retrap qemu takes' },
    { args: ['-smp', 'cores=4,cpus=6,maxcpus=8'], says: 'write --cpus 6; retrap qemu takes' },
    { args: ['-smp', 'sockets=2,cores=3,maxcpus=6'], says: 'write --cpus 6; retrap qemu takes' },
    { args: ['-smp', 'all'], says: 'write --cpus 2; retrap qemu takes' },
    { args: ['-smp'], says: 'write --cpus 2; retrap qemu takes' },
    { args: ['run', '-name', 'guest', file], says: 'there is no -name; leave it out' },
    { args: ['run', '-enable-kvm', file], says: 'there is no -enable-kvm; leave it out: the processor is always' },
    { args: ['run', '-rtc', 'base=utc', file], says: 'there is no -rtc; leave it out: it is so here' },
    { args: ['run', '-smbios', 'type=1', file], says: 'there is no -smbios; write --smbios type=1;' },
    { args: ['run', '-object', 'rng-random,id=r', file], says: 'there is no -object; leave it out' },
    { args: ['run', '-nodefaults', file], says: 'there is no -nodefaults; write --vga none and --serial none' },
    { args: ['run', '-audiodev', 'none,id=a', file], says: 'write --device AC97 --audio wav:FILE' },
    { args: ['run', '-daemonize', file], says: 'there is no -daemonize; ' },
    { args: ['-kernel', file], says: `there is no -kernel; write retrap run --kernel ${file};` },
    { args: ['run', '-nographic'], says: 'leave it out: the terminal is the serial console' },
    { args: ['run', '-k', 'de'], says: 'there is no -k; write --display vnc=127.0.0.1:5901,layout=de' },
    { args: ['run', '-usb', file], says: 'write --device qemu-xhci' },
    { args: ['run', '--disk', file], says: 'there is no --disk; write retrap run --hda FILE' },
    { args: ['linux', '--hda=x'], says: 'there is no --hda; write retrap run --hda x;' },
    { args: ['-hda', file], says: `there is no -hda; write retrap run --hda ${file};` },
    { args: ['-netdev', 'user'], says: 'write retrap run --netdev user,id=n --device virtio-net-pci,netdev=n' },
    { args: ['-cpu', 'host'], says: 'there is no -cpu; write --cpu max' },
    { args: ['-cpu', 'qemu64'], says: 'there is no -cpu; write --cpu max or core2' },
    {
      args: ['--cpu', 'hosts'],
      says: "--cpu: no CPU model 'hosts': expected max, everything, pentium, core2, opteron",
    },
    {
      args: ['run', '--drive', 'if=none,id=a,file=x', '--device', 'virtio-blk-pic,drive=a'],
      says: "--device 'virtio-blk-pic' is unknown; there are isa-debug-exit, isa-debugcon",
    },
    {
      args: ['run', '--drive', 'if=none,id=a,file=x', '--device', 'ide-hd,drive=a'],
      says: 'there is no ide-hd; write --drive file=FILE',
    },
    { args: ['--trace', 'ioreq', '--trace-to', '/nowhere/x'], code: 74, says: '/nowhere/x: its folder is not there\n' },
    { args: ['--serial', 'file:/nowhere/x'], code: 74, says: 'cannot write /nowhere/x: its folder is not there\n' },
    { args: ['--nic', 'user,pcap=/nowhere/x'], code: 74, says: '/nowhere/x: its folder is not there\n' },
    { args: ['restore', '/nowhere/x'], code: 74, says: '/nowhere/x: there is no such file\n' },
    { args: ['image', 'info', '/nowhere/x'], code: 74, says: '/nowhere/x: it cannot be read: there is no such file\n' },
    { args: ['run', '--cpu', 'core2,+avx2'], says: '--cpu: core2,+avx2: avx2 needs xsave, avx' },
    { args: ['linux', '--cpu', 'max,+3dnow'], says: "no CPU feature '3dnow'; --cpu help lists" },
    { args: ['--device', 'sd-card'], says: "'sd-card' is unknown; there are isa-debug-exit, isa-debugcon, " },
    { args: ['--device', 'virtio-blk'], says: 'there is no virtio-blk; write --device virtio-blk-pci' },
    { args: ['--device', 'ne2k_pci'], says: 'there is no ne2k_pci; write --device e1000' },
    { args: ['--chardev', 'stdio,id=c'], says: 'write --device virtserialport,chardev=c,name=NAME' },
    { args: ['run', '-chardev', 'stdio'], says: 'there is no -chardev; write --chardev stdio,id=c' },
    { args: ['--device', 'pci-testdev,addr=20'], says: 'addr=20 is not a PCI device number' },
    { args: ['--device', 'isa-debug-exit,port=1'], says: 'it has iobase, iosize' },
    { args: ['--device', 'isa-debug-exit,iobase=0x10000'], says: 'not a number from 0 to 0xfffe' },
    { args: ['--device', 'isa-debugcon,chardev=pipe'], says: 'give stdio, stderr or file:FILE' },
    { args: ['--device', './nowhere.ts'], code: 74, says: '--device ./nowhere.ts: there is no such file' },
    { args: ['--device', `${deviceModule},transport=pigeon`], says: 'there are inline, worker, process' },
    { args: ['--device', `${deviceModule},speed=9`], says: 'it has transport' },
    { args: ['--device', `${file}.ts`], code: 74, says: 'there is no such file' },
    { args: ['--hypervisor', 'kvm'], says: 'Allowed choices are none, xen' },
    { args: ['--console', 'xen'], says: '--console xen needs --hypervisor xen' },
    { args: ['--devices', 'fast'], says: 'Allowed choices are inline, async, worker' },
    { args: ['--device-deadline', '0'], says: 'give seconds' },
    { args: ['--trace', 'irqs'], says: "trace 'irqs' is unknown: expected insn, block, irq" },
    { args: ['--trace-to', 'x'], says: '--trace-to needs --trace' },
    { args: ['--machine', 'q36'], says: "virt,gic-version=3; did you mean 'q35'?\n" },
    { args: ['--machine', 'q35,smn=on'], says: "did you mean 'q35,smm=on'?\n" },
    { args: ['--stats', 'xml'], says: 'Allowed choices are json, text' },
    { args: ['linx'], says: "did you mean 'linux'? there are run, linux," },
    { args: ['--frobnicate'], says: "unknown option '--frobnicate'" },
    {
      args: ['stroll'],
      says: "there is no command 'stroll'; there are run, linux, qemu, exec, web, site, restore, replay, migrate, image, layers, kernels, device-server, device-check, device-sdk, test, crash-test, cluster, mcp, dap, disasm, walk, esr and p2m",
    },
    { args: ['linux', '--installer', 'riscv64'], says: 'Allowed choices are amd64, arm64, i386' },
    { args: ['linux', '--package', 'vim'], says: 'try linux-image-cloud-amd64' },
  ])('$args', async ({ args, code = 2, says }) => {
    const { stderr, ...run } = await runFake(...args)
    expect(run).toMatchObject({ code, created: [] })
    expect(stderr).toContain(says)
    expect(stderr).toMatch(/^retrap: [^\n]+\n$/)
  })
})

test.each([
  [['--help'], 'Exit codes:'],
  [['--help'], '88    the guest told Xen that it has crashed'],
  [['--help'], '128+n ended by signal n'],
  [['help'], 'Exit codes:'],
  [['help', 'run'], 'isa-debug-exit'],
  [['--version'], '0.'],
  [['run', '--help'], 'isa-debug-exit'],
  [['linux', '--help'], '--cpu <model>'],
  [['run', '--cpu', 'help'], '  core2    Intel Core 2 Duo'],
  [['run', '--device', 'help'], '\n  usb-kbd              a USB keyboard\n'],
  [['run', '--device', 'help'], '\n  virtio-keyboard-pci  a keyboard\n'],
  [['run', '--device', 'qemu-xhci,help'], 'qemu-xhci: a USB controller, for USB 3 and 2\n  p2    sockets'],
  [['--device', 'virtserialport,help'], 'virtserialport: a port (/dev/virtio-ports/NAME of Linux)'],
  [['--cpu', 'help'], 'avx2 (avx)'],
  [['linux', '--help'], 'linux-image-cloud-amd64'],
  [['--help'], '\nGo on with a machine:\n  restore'],
  [['--help'], '\nMachine:\n  --memory'],
  [['run', '--help'], '\nDisks:\n  --drive'],
  [['run', '--help'], '\nWhat happens inside:\n  --gdb'],
  [['linux', '--help'], '\nMachine:\n  --arch'],
  [['p2m', '--help'], 'Types are Xen'],
  [['disasm', '--help'], '--mode 16 --address 0x7c00'],
])('%j prints what it is asked for and succeeds', async (args, says) => {
  expect(await runFake(...args)).toMatchObject({ code: 0, stdout: expect.stringContaining(says) as string })
})

test('esr says what a syndrome means', async () => {
  const { code, stdout } = await runFake('esr', '0x93800007', '0x193800007')
  expect(code).toBe(0)
  const [first = '', second = ''] = stdout.split('\n\n')
  expect(first).toMatch(/^ESR 0x93800007\n {2}EC +31:26 +0x24 {2}data abort from a lower exception level\n/)
  expect(first).toMatch(/\nA 4-byte read into W0 hit: translation fault, level 3;/)
  expect(second).toMatch(/^ESR 0x193800007\n {2}ISS2 +63:32 +0x1 /)
})
