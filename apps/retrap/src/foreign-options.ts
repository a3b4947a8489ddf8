/** What replaces an option of QEMU's here. */
const REPLACEMENTS: Readonly<Record<string, string>> = {
  '-m': 'write --memory 512M',
  '-smp': 'write --cpus 2',
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
  '-accel': 'leave it out: the processor is always emulated',
  '-enable-kvm': 'leave it out: the processor is always emulated',
  '-cpu': 'write --cpu core2; retrap run --cpu help lists the models',
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
  '-qmp': 'there is no QMP; Ctrl-A c takes commands, such as help; Ctrl-A x leaves',
  '-gdb': 'write --gdb tcp:127.0.0.1:1234',
  '-s': 'write --gdb tcp:127.0.0.1:1234',
  '-S': 'write --gdb tcp:127.0.0.1:1234,wait',
  '-virtfs': 'write --virtfs local,path=DIR,mount_tag=TAG, or --share TAG=DIR',
  '-fsdev': 'write --fsdev local,id=ID,path=DIR --device virtio-9p-pci,fsdev=ID,mount_tag=TAG',
  '-loadvm': 'write retrap restore FILE',
}

/**
 * Returns what to write instead of an option that QEMU's users know, with one dash or two.
 *
 * @returns undefined for an option that is unknown there too
 */
export function replacementOf(option: string): string | undefined {
  const name = option.replace(/^--/, '-')
  return Object.hasOwn(REPLACEMENTS, name) ? REPLACEMENTS[name] : undefined
}
