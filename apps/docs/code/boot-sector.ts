import { defineDevice } from '@retrap/device'
import { createPc } from '@retrap/machine'
import { ah, al, Assembler, ax, bx, cx, di, ds, dx, es, imm16, si, sp, ss, word } from '@retrap/x86-assembler'

// The boot sector: 512 bytes, loaded at 0:7C00. It prints through the BIOS, as boot sectors have done since 1981.
const sector = new Assembler({ bits: 16, address: 0x7c00 })
const [greeting, stop] = [sector.label('greeting'), sector.label('stop')]
sector.xor(ax, ax).mov(ds, ax).cld().mov(si, greeting)
const next = sector.here()
sector.lodsb().test(al, al).jz(stop)
sector.mov(ah, 0x0e).int(0x10).jmp(next)
sector.bind(stop).mov(dx, imm16(0x5c0)).mov(al, 0).out(dx, al).hlt() // asks our switch to end the run
sector.bind(greeting).asciz('Hello from a boot sector')
sector.org(0x7dfe).dw(0xaa55)

// The smallest BIOS that starts it: one service, INT 10h function 0Eh, which sends AL to the serial port.
const bios = new Assembler({ bits: 16, address: 0 })
const [begin, service, image] = [bios.label('begin'), bios.label('service'), bios.label('image')]
bios.bind(begin).xor(ax, ax).mov(es, ax).mov(ss, ax).mov(sp, imm16(0x7000))
bios.mov(ax, imm16(0xf000)).mov(ds, ax)
bios.mov(si, image).mov(di, imm16(0x7c00)).mov(cx, imm16(256)).cld().rep().movsw()
bios.xor(ax, ax).mov(ds, ax).mov(bx, service)
bios.mov(word(0x40), bx).mov(word(0x42), imm16(0xf000)) // the vector of interrupt 10h
bios.mov(dx, imm16(0x3fb)).mov(al, 3).out(dx, al) // the serial port: 8 data bits
bios.db(0xea).dw(0x7c00, 0) // a far jump to 0:7C00
bios.bind(service).push(dx).mov(dx, imm16(0x3f8)).out(dx, al).pop(dx).iret()
bios.bind(image).db(...sector.assemble().bytes)
bios.org(0xfff0).jmp(begin) // processors begin here
bios.org(0xffff).db(0)

const powerSwitch = defineDevice({
  name: 'switch',
  ports: { base: 0x5c0, size: 1 },
  attach: (context) => void (end = () => context.requestExit(0)),
  write: () => end(),
})
let end = (): void => {}

const pc = await createPc({ memoryBytes: 2 << 20, firmware: bios.assemble().bytes, devices: [powerSwitch] })
let printed = ''
pc.serial.pipeTo({ write: (bytes) => (printed += String.fromCharCode(...bytes)) })
await pc.run()
console.log(printed)

// Output:
// Hello from a boot sector
