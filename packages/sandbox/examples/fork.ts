// Opens a Linux, and forks it: each fork goes on from the same instant, and sees nothing of the others.
import { Sandbox } from '@retrap/sandbox'

await using box = await Sandbox.open()
await box.run('mkdir /tmp/notes && echo "the same for all" >/tmp/notes/all')

const answers = await Promise.all(
  ['one', 'two'].map(async (name) => {
    await using fork = await box.fork()
    await fork.run(`echo "from ${name}" >>/tmp/notes/all`)
    return await fork.files.readText('/tmp/notes/all')
  }),
)
const { code, stdout } = await box.run('cat /tmp/notes/all; ls /tmp/notes | wc -l; exit 3')
console.log(`${answers.join('')}${stdout}${code}`)

// Output:
// the same for all
// from one
// the same for all
// from two
// the same for all
// 1
// 3
