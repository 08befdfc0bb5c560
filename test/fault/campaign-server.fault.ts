import { join } from "node:path";
import { campaign } from "./campaign.ts";
import { serverFaults } from "./server-faults.ts";
import { Volume } from "./volume.ts";

const DISK_MEGABYTES = 384;

campaign({
  row: "P1 to D5",
  title: "one server on a disk, each fault of it, its disk and its network",
  what: "One server on a disk",
  async begin(ground) {
    const volume = new Volume(ground, DISK_MEGABYTES);
    ground.data = join(volume.path, "data");
    const serve = () => ground.serve();
    await serve();
    return serverFaults(ground, volume, serve);
  },
});
