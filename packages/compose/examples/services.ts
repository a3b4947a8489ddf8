// Reads a Compose file with its override. Both are texts here; readComposeFiles of @retrap/compose/node reads from disk.
import { readCompose } from '@retrap/compose'

const files = new Map([
  [
    'compose.yaml',
    `
services:
  db: { image: "postgres:\${VERSION:-17}", volumes: ["data:/var/lib/postgresql/data"], healthcheck: { test: pg_isready } }
  web: { image: web, command: serve --port 80, depends_on: { db: { condition: service_healthy } }, gpus: all }
volumes: { data: }
`,
  ],
  ['compose.override.yaml', 'services: { web: { environment: [DEBUG=1], stop_grace_period: 1m30s } }'],
])
const { services, notices } = await readCompose([...files.keys()], { read: async (path) => files.get(path) })
for (const [name, { image, dependsOn, stopGracePeriod }] of services)
  console.log(name, image, [...dependsOn.keys()], stopGracePeriod / 1e9)
console.log(services.get('web')?.command, services.get('db')?.healthcheck?.test)
for (const { text } of notices) console.log(text)

// Output:
// db postgres:17 [] 10
// web web [ 'db' ] 90
// [ 'serve', '--port', '80' ] [ 'CMD-SHELL', 'pg_isready' ]
// compose.yaml:4: services.web.gpus: this key is not done
