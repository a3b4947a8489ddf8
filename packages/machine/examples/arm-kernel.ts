// A kernel of a few instructions on the Arm board.
import { createArmMachine } from '@retrap/machine/arm'

// A kernel as a Linux Image: 64 bytes of header, whose first instruction jumps behind it, then the program.
const words = new Uint32Array(32)
words[0] = 0x1400_0010 // b .+64
words[4] = words.byteLength // image_size
words[14] = 0x644d_5241 // "ARM\x64"
const program = [0xd2a1_2001, 0xd280_0c02, 0xb900_2c22] // x1 = 0x09000000, the UART; eight bits a character
for (const letter of 'hello') program.push(0x5280_0002 | (letter.charCodeAt(0) << 5), 0x3900_0022) // w2 = letter; strb w2, [x1]
program.push(0xd2b0_8000, 0xf280_0100, 0xd400_0002) // x0 = 0x84000008, SYSTEM_OFF of PSCI; hvc #0
words.set(program, 16)

const machine = await createArmMachine({ memoryBytes: 4 << 20, kernel: new Uint8Array(words.buffer) })
machine.serial.onTransmit((bytes) => console.log(new TextDecoder().decode(bytes)))
console.log((await machine.run()).reason)
// Output:
// hello
// power-off
