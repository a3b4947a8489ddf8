/** The advice for an option; one with a value repeats it. */
type Replacement = string | ((value: string) => string)

const EMULATED = 'leave it out: the processor is always emulated'
const NO_DEFAULTS = 'write --vga none and --serial none; nothing else is there that you do not name, but the board'
const NO_AUDIO = 'write --device AC97 --audio wav:FILE; the host plays nothing'
const NO_TRUSTED_MODULE = 'there is no TPM here'
const NO_MONITOR_PROTOCOL = 'there is no QMP; Ctrl-A c takes commands, such as help; Ctrl-A x leaves'
const NO_WINDOW = 'there are no windows here; write --display vnc=127.0.0.1:5901, png:FILE or terminal'
const USUAL_MEMORY = '512M'
const USUAL_CPUS = 2

/** QEMU's users write MiB without a unit, and keys for more: `512`, `2G`, `size=1G,slots=2`. */
function memoryOf(value: string): string {
  const [, digits, unit = 'M'] = /^(?:size=)?(\d+)([kmgt])?b?(?:,.*)?$/i.exec(value) ?? []
  return digits === undefined ? USUAL_MEMORY : `${digits}${unit.toUpperCase()}`
}

/** `4`, `cpus=4,cores=2` or the product of the topology: `sockets=2,cores=2`. */
function cpusOf(value: string): number {
  const given = new Map(
    value.split(',').map((part, index) => {
      const [key = '', count] = part.split('=')
      return count === undefined && index === 0 ? (['cpus', Number(key)] as const) : ([key, Number(count)] as const)
    }),
  )
  given.delete('maxcpus')
  const all = given.get('cpus') ?? [...given.values()].reduce((product, count) => product * count, 1)
  return Number.isSafeInteger(all) && all > 0 && value !== '' ? all : USUAL_CPUS
}

/** The replacements of QEMU's options here. */
const REPLACEMENTS: Readonly<Record<string, Replacement>> = {
  '-m': (value) => `write --memory ${memoryOf(value)}`,
  '-smp': (value) => `write --cpus ${cpusOf(value)}`,
  '-kernel': 'write retrap run --kernel FILE',
  '-initrd': 'write retrap run --kernel FILE --initrd FILE',
  '-append': "write retrap run --kernel FILE --append 'TEXT'",
  '-bios': 'write retrap run --firmware FILE',
  '-pflash': 'write retrap run --drive if=pflash,unit=0,file=FILE, or --firmware FILE --firmware-vars FILE',
  '-nographic': 'leave it out: the terminal is the serial console',
  '-serial': 'write --serial stdio, tcp:4444, unix:PATH, file:FILE, pty or none',
  '-device': 'write --device NAME,key=value; retrap run --help names the devices',
  '-chardev': 'write --chardev stdio,id=c, or socket, file, pty or null, for --device virtconsole,chardev=c',
  '-debugcon': 'write --device isa-debugcon,chardev=stdio',
  '-option-rom': 'write retrap run --option-rom FILE',
  '-no-reboot': 'write --no-reboot',
  '-no-shutdown': 'leave it out: a guest that powers off ends the run',
  '-icount': 'write --deterministic',
  '-trace': 'write --trace ioreq',
  '-d': 'write --trace insn, block, irq, exceptions, pagewalk or ioreq, or --stats text',
  '-h': 'write --help',
  '-help': 'write --help',
  '-version': 'write --version',
  '-M': 'write --machine pc or --machine q35',
  '-machine': 'write --machine pc or --machine q35',
  '-accel': EMULATED,
  '-enable-kvm': EMULATED,
  '-no-kvm': EMULATED,
  '-singlestep': 'write --jit off, and --trace insn for a line per instruction',
  '-perfmap': 'write --profile FILE',
  '-jitdump': 'write --jit-dump FOLDER',
  '-cpu': (value) => `write --cpu ${/^host\b/.test(value) ? 'max' : 'core2'}; retrap run --cpu help lists the models`,
  '-display': 'write --display vnc=127.0.0.1:5901, png:FILE or terminal',
  '-vga': 'write --vga std or none',
  '-vnc': 'write --display vnc=127.0.0.1:5901',
  '-k': 'write --display vnc=127.0.0.1:5901,layout=de',
  '-usb': 'write --device qemu-xhci, and --device usb-kbd, usb-tablet or usb-storage behind it',
  '-usbdevice': 'write --device qemu-xhci --device usb-tablet, or usb-kbd, usb-mouse',
  '-curses': 'write --display terminal',
  '-drive': 'write retrap run --drive file=FILE,format=raw',
  '-blockdev': 'write retrap run --drive file=FILE,format=raw',
  '-hda': 'write retrap run --hda FILE',
  '-hdb': 'write retrap run --hdb FILE',
  '-disk': 'write retrap run --hda FILE',
  '-hdc': 'write retrap run --hdc FILE',
  '-hdd': 'write retrap run --hdd FILE',
  '-cdrom': 'write retrap run --cdrom FILE',
  '-fda': 'write retrap run --fda FILE',
  '-fdb': 'write retrap run --fdb FILE',
  '-boot': 'write retrap run FILE --boot order=dc',
  '-snapshot': 'write retrap run FILE --snapshot',
  '-net': 'write retrap run --nic user',
  '-netdev': 'write retrap run --netdev user,id=n --device virtio-net-pci,netdev=n',
  '-nic': 'write retrap run --nic user',
  '-monitor': 'the monitor is behind Ctrl-A c: help lists its commands; Ctrl-A x leaves',
  '-mon': 'the monitor is behind Ctrl-A c: help lists its commands; Ctrl-A x leaves',
  '-echr': 'leave it out: keys for retrap begin with Ctrl-A; Ctrl-A Ctrl-A sends Ctrl-A',
  '-qmp': NO_MONITOR_PROTOCOL,
  '-qmp-pretty': NO_MONITOR_PROTOCOL,
  '-gdb': 'write --gdb tcp:127.0.0.1:1234',
  '-s': 'write --gdb tcp:127.0.0.1:1234',
  '-S': 'write --gdb tcp:127.0.0.1:1234,wait',
  '-virtfs': 'write --virtfs local,path=DIR,mount_tag=TAG, or --share TAG=DIR',
  '-fsdev': 'write --fsdev local,id=ID,path=DIR --device virtio-9p-pci,fsdev=ID,mount_tag=TAG',
  '-loadvm': 'write retrap restore FILE',
  '-incoming': 'write retrap run --incoming unix:PATH, or tcp:HOST:PORT,secret=FILE',
  '-only-migratable': 'leave it out: a machine that cannot be moved says so when it is to move',
  '-name': 'leave it out: machines have no names here',
  '-uuid': 'leave it out: the machine has no UUID; with --hypervisor xen it gets a random one',
  '-smbios': 'leave it out: the SMBIOS tables are fixed',
  '-acpitable': 'there is no way to add ACPI tables here',
  '-no-acpi': 'leave it out: the board always has ACPI; give Linux --append acpi=off',
  '-no-hpet': 'leave it out: the board always has an HPET; give Linux --append hpet=disable',
  '-rtc': 'leave it out: the clock is in UTC, and follows the host, or with --deterministic the instructions',
  '-object': 'leave it out: --device virtio-rng-pci needs no rng-random, and guest RAM no memory backend',
  '-global': 'write the property with the device: --device NAME,key=value; --device NAME,help lists them',
  '-set': 'write the property with the device: --device NAME,key=value; --device NAME,help lists them',
  '-nodefaults': NO_DEFAULTS,
  '-no-user-config': 'leave it out: no configuration is read but a machine.json that you name',
  '-readconfig': 'write retrap run machine.json; retrap run --schema says what may be in it',
  '-writeconfig': 'write a machine.json of your own; retrap run --schema says what may be in it',
  '-numa': 'there are no NUMA nodes here',
  '-mem-path': 'leave it out: guest RAM is memory of the process',
  '-mem-prealloc': 'leave it out: guest RAM is memory of the process',
  '-fw_cfg': 'there is no way to add fw_cfg files here; give Linux --append TEXT or --initrd FILE',
  '-dtb': 'leave it out: --arch arm64 makes its own device tree, which --dumpdtb FILE writes',
  '-loader': 'write retrap run --kernel FILE, or --firmware FILE',
  '-semihosting': "there is no semihosting; write --device isa-debug-exit to end with a guest's code",
  '-semihosting-config': "there is no semihosting; write --device isa-debug-exit to end with a guest's code",
  '-watchdog': 'there is no watchdog but that of --hypervisor xen',
  '-watchdog-action': 'there is no watchdog but that of --hypervisor xen',
  '-action': 'write --no-reboot to end at a reset; a panic of retrap linux --command ends with 90',
  '-tpmdev': NO_TRUSTED_MODULE,
  '-audio': NO_AUDIO,
  '-audiodev': NO_AUDIO,
  '-soundhw': NO_AUDIO,
  '-full-screen': NO_WINDOW,
  '-sdl': NO_WINDOW,
  '-spice': NO_WINDOW,
  '-show-cursor': NO_WINDOW,
  '-parallel': 'there is no parallel port here',
  '-sd': 'there is no SD card here; write retrap run --hda FILE',
  '-mtdblock': 'write retrap run --drive if=pflash,unit=0,file=FILE',
  '-pidfile': 'there is no such file; the shell has the number of the process: $!',
  '-daemonize': 'there is no such option; let the shell put the run into the background, with --control PATH',
  '-runas': 'leave it out: retrap needs no privileges; start it as that user',
  '-run-with': 'leave it out: retrap needs no privileges; start it as that user',
  '-chroot': 'leave it out: retrap needs no privileges; start it in a container',
  '-sandbox': 'leave it out: retrap needs no privileges; start it in a container',
  '-seed': 'write --deterministic',
  '-D': 'write --trace WHAT --trace-to FILE',
  '-dfilter': 'write --trace insn,address=0x7c00-0x7dff',
  '-plugin': 'there are no plugins; write --trace WHAT, or --device FILE with a device model of your own',
  '-L': 'leave it out: firmware is fetched, or named: retrap run --firmware FILE',
}

/**
 * Returns what to write instead of an option that QEMU's users know, with one dash or two.
 *
 * @param args - the command line that it is in: some answers repeat its value
 * @returns undefined for an option that is unknown there too
 */
export function replacementOf(option: string, args: readonly string[] = []): string | undefined {
  const name = option.replace(/^--/, '-')
  const replacement = Object.hasOwn(REPLACEMENTS, name) ? REPLACEMENTS[name] : undefined
  if (typeof replacement !== 'function') return replacement
  const at = args.findIndex((word) => word === option || word.startsWith(`${option}=`))
  const value = args[at]?.includes('=') === true ? args[at].slice(option.length + 1) : (args[at + 1] ?? '')
  return replacement(at < 0 ? '' : value)
}
