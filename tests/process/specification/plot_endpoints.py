import json
import matplotlib.pyplot as plt

# Load profiling data
with open("profiling_results.json", "r") as f:
    data = json.load(f)["data"]

# Extract endpoint names and average times
endpoints = []
avg_times = []

for endpoint, stats in data.items():
    if endpoint.startswith("GET") or endpoint.startswith("POST"):
        endpoints.append(endpoint)
        avg_times.append(stats["avg_time"])

# Sort by average time
sorted_data = sorted(zip(endpoints, avg_times), key=lambda x: x[1], reverse=True)
endpoints = [x[0] for x in sorted_data]
avg_times = [x[1] for x in sorted_data]

# Plot the results
plt.figure(figsize=(12, 6))
plt.bar(endpoints[:10], avg_times[:10])
plt.xlabel("Endpoint")
plt.ylabel("Average Time (s)")
plt.title("Top 10 Slowest Endpoints")
plt.xticks(rotation=45, ha="right")
plt.tight_layout()
plt.savefig("endpoint_performance.png")
