import '../src/style.css'
import '../src/machine-page.css'
import { render } from 'preact'
import { ClusterPage } from '../src/cluster/page.tsx'
render(<ClusterPage chosen={{ title: 'two-leaders.run', options: {}, cluster: 'demo.run' }} close={() => {}} show={(m, back) => <p><button onClick={back}>{m.back}</button>{m.title} {m.guestMs}</p>} />, document.getElementById('app')!)
