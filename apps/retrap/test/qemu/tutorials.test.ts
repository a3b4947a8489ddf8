/** Lines of QEMU's command line as tutorials have them: `retrap qemu` starts the machine that they ask for. No network is used. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fetchMembers } from '@retrap/debian'
import { multibootHeader } from '@retrap/tooling/images'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, expect, test, vi } from 'vitest'
import { translateLine } from '../../src/commands/qemu/translate.ts'
import { runCli } from '../../src/cli.ts'
import { FakeHost } from '../support/fake-machine.ts'

vi.mock(import('@retrap/debian'), async (original) => ({ ...(await original()), fetchMembers: vi.fn() }))

const folder = temporaryFolder('tutorials')
mkdirSync(join(folder, 'share'))

const disk = new Uint8Array(1 << 20)
const iso = new Uint8Array(1 << 16)
iso.set(new TextEncoder().encode('CD001'), 0x8001)
const linux = new Uint8Array(1 << 16)
linux.set(new TextEncoder().encode('HdrS'), 0x202)
const arm = new Uint8Array(64)
arm.set([0x41, 0x52, 0x4d, 0x64], 0x38)
const qcow2 = new Uint8Array(1 << 16)
const header = new DataView(qcow2.buffer)
for (const [at, value] of [
  [0, 0x5146_49fb], // magic, version 2, clusters of 64 KiB, no bytes: table of level 1 and of counts
  [4, 2],
  [20, 16],
] as const)
  header.setUint32(at, value)
const FILES: Readonly<Record<string, Uint8Array>> = {
  'disk.img': disk,
  'data.img': disk,
  'debian.iso': iso,
  bzImage: linux,
  'initrd.img': disk,
  'kernel.elf': multibootHeader(0),
  Image: arm,
  'OVMF.fd': disk,
  'OVMF_CODE.fd': disk,
  'OVMF_VARS.fd': disk,
  'floppy.img': new Uint8Array(1_474_560),
}
beforeAll(() => {
  for (const [name, bytes] of Object.entries(FILES)) writeFileSync(join(folder, name), bytes)
  vi.mocked(fetchMembers).mockImplementation(async (wanted) =>
    wanted.map(({ members }) => {
      for (const member of members) {
        mkdirSync(dirname(join(folder, member)), { recursive: true })
        writeFileSync(join(folder, member), member)
      }
      return folder
    }),
  )
})

/** Words of a line; files are those of the folder. */
const wordsOf = (line: string): string[] =>
  (line.match(/'[^']*'|\S+/g) ?? []).map((word) =>
    word
      .replaceAll("'", '')
      .replaceAll(
        /(?<![\w/.])[\w]+\.(?:img|iso|elf|fd|sock|wav|log)\b|^(?:bzImage|Image|share)$|(?<=path=)share/g,
        (name) => join(folder, name),
      ),
  )

async function runQemu(line: string): Promise<{ code: number; host: FakeHost }> {
  const host = new FakeHost(async () => ({ reason: 'power-off' }))
  host.stdout.isTTY = true
  setImmediate(() => host.stdin.emit('end'))
  return { code: await runCli(['qemu', ...wordsOf(line)], host), host }
}

/** The lines, and what the machine has of what they ask for, with files as `$NAME`; or their translation, where it listens; ✗: refused. */
const LINES = `
qemu-system-x86_64 -m 2G -cdrom debian.iso → {"memoryBytes":2147483648,"networkCards":[{"model":"e1000"}]}
qemu-system-x86_64 -hda disk.img -m 512 → {"memoryBytes":536870912,"vga":"std"}
qemu-system-x86_64 disk.img → {"drives":[{}]}
qemu-system-i386 -fda floppy.img -boot a → {"boot":{"order":"a"}}
qemu-system-x86_64 -drive format=raw,file=disk.img → {"drives":[{}]}
qemu-system-x86_64 -kernel bzImage -initrd initrd.img -append "console=ttyS0" -nographic → {"kernel":"$bzImage"}
qemu-system-x86_64 -enable-kvm -cpu host -smp 4 -m 2048 -hda disk.img -cdrom debian.iso -boot d → {"cpus":4,"boot":{"order":"d"}}
qemu-system-x86_64 -kernel kernel.elf → {"vga":"std"}
qemu-system-i386 -kernel kernel.elf -serial stdio -display none → {"kernel":"$kernel.elf"}
qemu-system-x86_64 -s -S -kernel kernel.elf -nic none → --kernel kernel.elf --gdb tcp:127.0.0.1:1234,wait --display terminal --vga std
qemu-system-x86_64 -cdrom debian.iso -serial mon:stdio -no-reboot -no-shutdown → {"drives":[{"media":"cdrom"}]}
qemu-system-x86_64 -drive format=raw,file=disk.img -device isa-debug-exit,iobase=0xf4,iosize=0x04 -serial stdio -display none → {"devices":[{}]}
qemu-system-x86_64 -bios OVMF.fd -net none -hda disk.img → {"firmware":"$disk.img"}
qemu-system-x86_64 -drive if=pflash,format=raw,readonly=on,file=OVMF_CODE.fd -drive if=pflash,format=raw,file=OVMF_VARS.fd -drive format=raw,file=disk.img → {"flash":[{},{}]}
qemu-system-x86_64 -machine q35 -pflash OVMF_CODE.fd -pflash OVMF_VARS.fd -cdrom debian.iso → {"machine":"q35","flash":[{},{}]}
qemu-system-x86_64 -machine q35,accel=kvm:tcg -m 1G -drive file=disk.img,if=virtio,cache=none → {"machine":"q35","drives":[{"interface":"virtio"}]}
qemu-system-x86_64 -accel tcg,thread=multi -smp cores=2,threads=2 -m size=1G -hda disk.img → {"cpus":4,"memoryBytes":1073741824}
qemu-system-x86_64 -m 1G -hda disk.img -netdev user,id=net0,hostfwd=tcp::0-:22 -device e1000,netdev=net0 → {"networkCards":[{"model":"e1000"}]}
qemu-system-x86_64 -m 1G -hda disk.img -nic user,hostfwd=tcp::0-:22,model=virtio-net-pci → {"virtio":[{"kind":"net"}]}
qemu-system-x86_64 -m 1G -hda disk.img -net nic,model=virtio -net user,hostfwd=tcp::0-:22 → {"virtio":[{"kind":"net"}]}
qemu-system-x86_64 -hda disk.img -device virtio-net,netdev=n0,mac=52:54:00:12:34:57 -netdev user,id=n0 → {"virtio":[{"kind":"net"}]}
qemu-system-x86_64 -m 2G -hda disk.img -usb -device usb-tablet → {"usb":{"devices":[{"kind":"tablet"}]}}
qemu-system-x86_64 -hda disk.img -device usb-ehci,id=ehci -device usb-kbd,bus=ehci.0 -device usb-mouse → {"usb":{"devices":[{"kind":"keyboard"},{"kind":"mouse"}]}}
qemu-system-x86_64 -hda disk.img -audiodev pa,id=snd0 -device AC97,audiodev=snd0 → {"sound":[{"model":"ac97"}]}
qemu-system-x86_64 -hda disk.img -audiodev wav,id=snd0,path=sound.wav -device intel-hda -device hda-duplex,audiodev=snd0 → {"sound":[{"model":"ac97"}]}
qemu-system-x86_64 -hda disk.img -soundhw ac97 → {"sound":[{"model":"ac97"}]}
qemu-system-x86_64 -hda disk.img -vga virtio -display gtk,gl=on -k de → {"vga":"std"}
qemu-system-x86_64 -hda disk.img -display curses → {"vga":"std"}
qemu-system-x86_64 -hda disk.img -device virtio-serial -chardev socket,path=agent.sock,server,nowait,id=qga0 -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0 → {"virtio":[{"kind":"console"}]}
qemu-system-x86_64 -hda disk.img -virtfs local,path=share,mount_tag=host0,security_model=mapped-xattr,id=host0 → {"virtio":[{"kind":"share"}]}
qemu-system-x86_64 -hda disk.img -object rng-random,filename=/dev/urandom,id=rng0 -device virtio-rng-pci,rng=rng0 -device virtio-balloon → {"virtio":[{"kind":"rng"}]}
qemu-system-x86_64 -drive id=disk,file=disk.img,if=none -device ahci,id=ahci -device ide-hd,drive=disk,bus=ahci.0 → {"machine":"q35"}
qemu-system-x86_64 -drive file=disk.img,if=none,id=nvm -device nvme,serial=deadbeef,drive=nvm → {"drives":[{"interface":"nvme"}]}
qemu-system-x86_64 -device virtio-scsi-pci,id=scsi0 -drive file=disk.img,if=none,id=hd0 -device scsi-hd,drive=hd0,bus=scsi0.0 → {"drives":[{"interface":"scsi"}]}
qemu-system-x86_64 -name vm1 -rtc base=localtime -hda disk.img -snapshot -monitor telnet:127.0.0.1:5555,server,nowait -net none -daemonize → --rtc localtime --hda disk.img --snapshot --daemonize --monitor tcp:127.0.0.1:5555 --serial none
qemu-system-x86_64 -kernel bzImage -append root=/dev/vda -drive file=disk.img,format=raw,if=virtio -nographic -d int,cpu_reset -D qemu.log → {"drives":[{"interface":"virtio"}]}
qemu-system-aarch64 -M virt -cpu cortex-a57 -m 1G -nographic -kernel Image -append console=ttyAMA0 → {"architecture":"arm64","kernel":"$Image"}
qemu-system-x86_64 -hda disk.img -vnc :1 -net none → --hda disk.img --display vnc=127.0.0.1:5901 --serial none
qemu-system-x86_64 -m 8G -hda disk.img -enable-kvm → ✗
qemu-system-x86_64 -hda disk.img -netdev tap,id=n0,ifname=tap0,script=no,downscript=no -device e1000,netdev=n0 -tpmdev passthrough,id=tpm0 → ✗
`
  .trim()
  .split('\n')
  .map((row) => row.split(' → ') as [line: string, machine: string])

test.each(LINES.filter(([, machine]) => machine.startsWith('{')))('%s', async (line, machine) => {
  const { code, host } = await runQemu(line)
  expect([code, host.stderr.text]).toEqual([0, expect.stringMatching(/^retrap: retrap run /)])
  expect(host.created).toHaveLength(1)
  const withFile = (_: string, value: unknown): unknown => FILES[`${value}`.replace(/^\$/, '')] ?? value
  expect(host.created[0]).toMatchObject(JSON.parse(machine, withFile) as object)
})

test.each(LINES.filter(([, machine]) => machine.startsWith('--')))('%s is %s', (line, ours) => {
  const { options, complaints } = translateLine(line.split(' '), true)
  expect([options.flat().join(' '), complaints]).toEqual([ours, []])
})

test('of 40 kinds of lines at least 38 run', () => {
  expect(LINES).toHaveLength(40)
  expect(LINES.filter(([, machine]) => machine !== '✗').length).toBeGreaterThanOrEqual(38)
})

test('all complaints about a line come at once, each once', async () => {
  const refused =
    'qemu-system-x86_64 -m 8G -hda disk.img -netdev tap,id=n0 -tpmdev passthrough,id=t -device sd-card -m 8G'
  const { code, host } = await runQemu(refused)
  expect(code).toBe(2)
  expect(host.stderr.text.split('\n  ')).toEqual([
    'retrap: this line cannot be run:',
    '-tpmdev: there is no TPM here',
    expect.stringMatching(/^--memory 8G is too much; .*give at most 3584M$/),
    expect.stringMatching(/^--device 'sd-card' is unknown; /),
    expect.stringMatching(/^--netdev 'tap' is unknown; there are user, /),
  ])
  for (const [line] of LINES.filter(([, machine]) => machine === '✗')) expect((await runQemu(line)).code).toBe(2)
})
