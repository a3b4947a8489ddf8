import { QemuPc } from './qemu-pc.ts'

const EXPRESS = 0x10

/** A q35 of QEMU's with a root port at device 3. */
export class QemuPort extends QemuPc {
  #express = 0

  /** @param devices - `-device` options of what is in the slot `rp1` from power-on */
  static async start(...devices: readonly string[]): Promise<QemuPort> {
    const native = ['-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off']
    const port = ['-device', 'pcie-root-port,id=rp1,addr=3,port=3,slot=3,chassis=1']
    const qemu = new QemuPort()
    await qemu.begin('-machine', 'q35', ...native, ...port, ...devices.flatMap((device) => ['-device', device]))
    await qemu.write(0x18, 4, 0x0001_0100)
    qemu.#express = await qemu.#find(EXPRESS)
    return qemu
  }

  async #find(id: number): Promise<number> {
    let at = await this.read(0x34, 1)
    while ((await this.read(at, 1)) !== id) at = await this.read(at + 1, 1)
    return at
  }

  async #access(requester: number, register: number, access: string): Promise<string> {
    await this.ask(`outl ${0xcf8} ${0x8000_0000 + requester * 256 + (register & ~3)}`)
    const [name, ...value] = access.split(' ')
    return this.ask([name, 0xcfc + (register & 3), ...value].join(' '))
  }

  async read(register: number, size: 1 | 2 | 4, requester = 3 << 3): Promise<number> {
    return Number(await this.#access(requester, register, `in${WIDTHS[size]}`))
  }

  async write(register: number, size: 1 | 2 | 4, value: number): Promise<void> {
    await this.#access(3 << 3, register, `out${WIDTHS[size]} ${value}`)
  }

  register(offset: number, size: 2 | 4 = 2): Promise<number> {
    return this.read(this.#express + offset, size)
  }

  setRegister(offset: number, value: number): Promise<void> {
    return this.write(this.#express + offset, 2, value)
  }
}

const WIDTHS = { 1: 'b', 2: 'w', 4: 'l' } as const
