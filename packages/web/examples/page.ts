// A machine for a page: its screen on a canvas, its serial port in a terminal of xterm.js. Node has no page to show them in.
import { createMachine, type Machine, type TerminalLike } from '@retrap/web'

export async function start(canvas: HTMLCanvasElement, terminal: TerminalLike): Promise<Machine> {
  const machine = await createMachine({
    memoryBytes: 256 << 20,
    kernel: 'images/bzImage', // an address, a File that the user has dropped, or bytes
    drives: [{ source: 'images/debian.qcow2', interface: 'virtio' }], // read when the guest wants it
    commandLine: 'console=ttyS0 root=/dev/vda1',
    onProgress: ({ image, loadedBytes }) => console.log(image, loadedBytes),
  })
  machine.attachCanvas(canvas)
  machine.attachTerminal(terminal)
  machine.on('exit', ({ reason }) => console.log('the machine is off:', reason))
  machine.run().catch(console.error)
  return machine
}

console.log(typeof document === 'undefined' ? 'start() wants a page' : 'start() is ready')

// Output:
// start() wants a page
